# Train an MTAN with ResNet-50 on NYUD-v2: one shared encoder, from whose stages each task picks
# features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_nyud_r50.py \
#       --cfg-options pretrained=torchvision://resnet50
#   python tools/test.py configs/exchange/mtan_nyud_r50.py \
#       work_dirs/mtan_nyud_r50/iter_20000.pth
#
# Takes 20,000 iterations. The paper has 600.1 billion multiply-adds, as get_madds.py also counts,
# and Delta_m 2.38 after a search for the learning rate. This config uses the same rate as all
# others. Without `pretrained`, training starts from random weights, which is not the paper's
# setting.
_base_ = '../branched_nyud_r50.py'

architecture = None

model = dict(backbone=dict(type='MTAN'))
