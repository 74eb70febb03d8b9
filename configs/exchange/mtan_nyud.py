# Train an MTAN with MobileNetV2 on NYUD-v2: one shared encoder, from whose stages each task picks
# features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_nyud.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/exchange/mtan_nyud.py \
#       work_dirs/mtan_nyud/iter_20000.pth
#
# Takes 20,000 iterations. Expect no figures in the paper. Without `pretrained` training starts
# from random weights, which is not the paper's setting.
_base_ = [
    '../_base_/models/mobilenet_v2_nyud.py',
    '../_base_/datasets/nyud.py',
    '../_base_/schedules/nyud.py',
    '../_base_/default_runtime.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks
cost_shape = (425, 560)

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
