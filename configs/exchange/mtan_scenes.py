# Train an MTAN with narrow MobileNetV2 on the synthetic scenes: one shared encoder, from whose
# stages each task picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_scenes.py
#   python tools/test.py configs/exchange/mtan_scenes.py \
#       work_dirs/mtan_scenes/iter_600.pth
#
# Takes 600 iterations. Ours, not the paper's; for trying it out.
_base_ = [
    '../_base_/models/mobilenet_v2_scenes.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/scenes.py',
]

pretrained = None
total_batch_size = 8  # over all ranks
cost_shape = (128, 160)

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
