# Retrain a branched ResNet-50 on PASCAL-Context, as the search found it (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/branched_pascal_r50.py \
#       --cfg-options architecture=work_dirs/search_pascal_r50/architecture.json \
#                     pretrained=torchvision://resnet50
#   python tools/test.py configs/branched_pascal_r50.py \
#       work_dirs/branched_pascal_r50/iter_40000.pth
#
# Takes 40,000 iterations. Expect the paper's Table D.
# Without `pretrained` training starts from random weights, which is not the paper's setting.
_base_ = [
    './_base_/models/resnet50_pascal_context.py',
    './_base_/datasets/pascal_context.py',
    './_base_/schedules/pascal_context.py',
    './_base_/default_runtime.py',
]

# An example to start from; override it with what a search has written.
architecture = 'configs/architectures/pascal_r50.json'
pretrained = None  # ImageNet weights: a file, an URL, or torchvision://resnet50
total_batch_size = 8  # over all ranks
cost_shape = (512, 512)

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='BranchedNetwork', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
)
