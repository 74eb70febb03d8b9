# Train an MTAN with ResNet-50 on PASCAL-Context: one shared encoder, from whose stages each task
# picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_pascal_r50.py \
#       --cfg-options pretrained=torchvision://resnet50
#   python tools/test.py configs/exchange/mtan_pascal_r50.py \
#       work_dirs/mtan_pascal_r50/iter_40000.pth
#
# Takes 40,000 iterations. The paper found no competitive results here (Appendix D). Without
# `pretrained`, training starts from random weights, which is not the paper's setting.
_base_ = '../branched_pascal_r50.py'

architecture = None

model = dict(backbone=dict(type='MTAN'))
