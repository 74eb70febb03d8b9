# Train an MTAN with MobileNetV2 on PASCAL-Context: one shared encoder, from whose stages each task
# picks features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_pascal.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/exchange/mtan_pascal.py \
#       work_dirs/mtan_pascal/iter_40000.pth
#
# Takes 40,000 iterations. The paper has 9.5 billion multiply-adds, as get_madds.py also counts, and
# Delta_m -1.73 after a search for the learning rate. This config uses the same rate as all others.
# Without `pretrained`, training starts from random weights, which is not the paper's setting.
_base_ = '../branched_pascal.py'

architecture = None

model = dict(
    backbone=dict(
        type='MTAN',
        separable=True,
        refine_last=False,
        act_cfg=dict(type='ReLU6'),
    ),
)
