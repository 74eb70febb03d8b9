# Train an MTAN with narrow MobileNetV2 on the synthetic scenes: one shared encoder, from whose
# stages each task picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_scenes.py
#   python tools/test.py configs/exchange/mtan_scenes.py \
#       work_dirs/mtan_scenes/iter_600.pth
#
# Takes 600 iterations. This config is ours, not the paper's, for trying the method out.
_base_ = '../branched_scenes.py'

architecture = None

model = dict(
    backbone=dict(
        type='MTAN',
        separable=True,
        refine_last=False,
        act_cfg=dict(type='ReLU6'),
    ),
)
