# Train an MTAN with ResNet-50 on the synthetic scenes: one shared encoder, from whose stages each
# task picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_scenes_r50.py
#   python tools/test.py configs/exchange/mtan_scenes_r50.py \
#       work_dirs/mtan_scenes_r50/iter_600.pth
#
# Takes 600 iterations; a full ResNet-50 is meant for a GPU, mtan_scenes.py for two CPU cores. This
# config is ours, not the paper's, for trying the method out.
_base_ = '../branched_scenes_r50.py'

architecture = None

model = dict(backbone=dict(type='MTAN'))
