# Train an MTAN with ResNet-50 on the synthetic scenes: one shared encoder, from whose stages each
# task picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_scenes_r50.py
#   python tools/test.py configs/exchange/mtan_scenes_r50.py \
#       work_dirs/mtan_scenes_r50/iter_600.pth
#
# Takes 600 iterations; a full ResNet-50 is made for a GPU, mtan_scenes.py for two CPU cores. Ours,
# not the paper's; for trying it out.
_base_ = [
    '../_base_/models/resnet50_pascal_context.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/scenes.py',
]

pretrained = None
total_batch_size = 8  # over all ranks
cost_shape = (128, 160)

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='MTAN', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
)
