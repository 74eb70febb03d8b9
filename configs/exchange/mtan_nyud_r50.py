# Train an MTAN with ResNet-50 on NYUD-v2: one shared encoder, from whose stages each task picks
# features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_nyud_r50.py \
#       --cfg-options pretrained=torchvision://resnet50
#   python tools/test.py configs/exchange/mtan_nyud_r50.py \
#       work_dirs/mtan_nyud_r50/iter_20000.pth
#
# Takes 20,000 iterations. The paper has 600.1 billion multiply-adds, which get_madds.py gives too,
# and Delta_m 2.38 after a search for the learning rate; here it is that of all networks. Without
# `pretrained` training starts from random weights, which is not the paper's setting.
_base_ = [
    '../_base_/models/resnet50_nyud.py',
    '../_base_/datasets/nyud.py',
    '../_base_/schedules/nyud.py',
    '../_base_/default_runtime.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://resnet50
total_batch_size = 8  # over all ranks
cost_shape = (425, 560)

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='MTAN', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
)
