# Retrain the branched MobileNetV2 that the search found, on NYUD-v2 (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/branched_nyud.py \
#       --cfg-options architecture=work_dirs/search_nyud/architecture.json \
#                     pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/branched_nyud.py work_dirs/branched_nyud/iter_20000.pth
#
# Takes 20,000 iterations. The paper has no figures for this network. Without `pretrained`, training
# starts from random weights, which is not the paper's setting.
_base_ = [
    './_base_/models/mobilenet_v2_nyud.py',
    './_base_/datasets/nyud.py',
    './_base_/schedules/nyud.py',
    './_base_/default_runtime.py',
]

# An example tree; override it with the architecture.json of a search.
architecture = 'configs/architectures/nyud.json'
pretrained = None  # ImageNet weights: a file, a URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks

model = dict(backbone=dict(type='BranchedNetwork'))
