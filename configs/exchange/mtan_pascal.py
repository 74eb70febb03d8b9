# Train an MTAN with MobileNetV2 on PASCAL-Context: one shared encoder, from whose stages each task
# picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_pascal.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/exchange/mtan_pascal.py \
#       work_dirs/mtan_pascal/iter_40000.pth
#
# Takes 40,000 iterations. The paper has 9.5 billion multiply-adds, which get_madds.py gives too,
# and Delta_m -1.73 after a search for the learning rate; here it is that of all networks. Without
# `pretrained` training starts from random weights, which is not the paper's setting.
_base_ = [
    '../_base_/models/mobilenet_v2_pascal_context.py',
    '../_base_/datasets/pascal_context.py',
    '../_base_/schedules/pascal_context.py',
    '../_base_/default_runtime.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks
cost_shape = (512, 512)

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='MTAN',
        encoder=_base_.encoder,
        separable=True,
        refine_last=False,
        act_cfg=dict(type='ReLU6'),
    ),
    decode_heads=_base_.decode_heads,
)
