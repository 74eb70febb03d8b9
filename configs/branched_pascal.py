# Retrain the branched MobileNetV2 that the search found, on PASCAL-Context (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/branched_pascal.py \
#       --cfg-options architecture=work_dirs/search_pascal/architecture.json \
#                     pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/branched_pascal.py work_dirs/branched_pascal/iter_40000.pth
#
# Takes 40,000 iterations. The paper reports Delta_m -3.44, -1.74 and -0.60 for its three trees.
# Without `pretrained`, training starts from random weights, which is not the paper's setting.
_base_ = [
    './_base_/models/mobilenet_v2_pascal_context.py',
    './_base_/datasets/pascal_context.py',
    './_base_/schedules/pascal_context.py',
    './_base_/default_runtime.py',
]

# An example tree; override it with the architecture.json of a search.
architecture = 'configs/architectures/pascal.json'
pretrained = None  # ImageNet weights: a file, a URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks

model = dict(backbone=dict(type='BranchedNetwork'))
