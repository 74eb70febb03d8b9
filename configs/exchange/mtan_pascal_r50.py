# Train an MTAN with ResNet-50 on PASCAL-Context: one shared encoder, from whose stages each task
# picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_pascal_r50.py \
#       --cfg-options pretrained=torchvision://resnet50
#   python tools/test.py configs/exchange/mtan_pascal_r50.py \
#       work_dirs/mtan_pascal_r50/iter_40000.pth
#
# Takes 40,000 iterations. The paper found no competitive results here (Appendix D). Without
# `pretrained` training starts from random weights, which is not the paper's setting.
_base_ = [
    '../_base_/models/resnet50_pascal_context.py',
    '../_base_/datasets/pascal_context.py',
    '../_base_/schedules/pascal_context.py',
    '../_base_/default_runtime.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://resnet50
total_batch_size = 8  # over all ranks
cost_shape = (512, 512)

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='MTAN', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
)
