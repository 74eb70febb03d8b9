# Retrain a branched MobileNetV2 on NYUD-v2, as the search found it (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/branched_nyud.py \
#       --cfg-options architecture=work_dirs/search_nyud/architecture.json \
#                     pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/branched_nyud.py work_dirs/branched_nyud/iter_20000.pth
#
# Takes 20,000 iterations. Expect no figures in the paper.
# Without `pretrained` training starts from random weights, which is not the paper's setting.
_base_ = [
    './_base_/models/mobilenet_v2_nyud.py',
    './_base_/datasets/nyud.py',
    './_base_/schedules/nyud.py',
    './_base_/default_runtime.py',
]

# An example to start from; override it with what a search has written.
architecture = 'configs/architectures/nyud.json'
pretrained = None  # ImageNet weights: a file, an URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks

model = dict(backbone=dict(type='BranchedNetwork'))
