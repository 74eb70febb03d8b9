# Retrain the branched ResNet-50 that the search found, on NYUD-v2 (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/branched_nyud_r50.py \
#       --cfg-options architecture=work_dirs/search_nyud_r50/architecture.json \
#                     pretrained=torchvision://resnet50
#   python tools/test.py configs/branched_nyud_r50.py work_dirs/branched_nyud_r50/iter_20000.pth
#
# Takes 20,000 iterations. The paper's table for NYUD-v2 has the figures to expect. Without
# `pretrained`, training starts from random weights, which is not the paper's setting.
_base_ = './branched_nyud.py'

# An example tree; override it with the architecture.json of a search.
architecture = 'configs/architectures/nyud_r50.json'
total_batch_size = 8  # over all ranks

model = dict(
    backbone=dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=50)),
    decode_heads={task: dict(channels=256, separable=False) for task in _base_.model.decode_heads},
)
