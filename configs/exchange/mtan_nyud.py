# Train an MTAN with MobileNetV2 on NYUD-v2: one shared encoder, from whose stages each task picks
# features by attention masks of its own (Liu et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/mtan_nyud.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/exchange/mtan_nyud.py \
#       work_dirs/mtan_nyud/iter_20000.pth
#
# Takes 20,000 iterations. The paper has no figures for this network. Without `pretrained`, training
# starts from random weights, which is not the paper's setting.
_base_ = '../branched_nyud.py'

architecture = None

model = dict(
    backbone=dict(
        type='MTAN',
        separable=True,
        refine_last=False,
        act_cfg=dict(type='ReLU6'),
    ),
)
