# Train a Cross-Stitch network with MobileNetV2 on NYUD-v2: an encoder for each task, whose
# features are mixed by learned weights, one for each pair of tasks, after the stem and after every
# stage (Misra et al., CVPR 2016).
#
#   python tools/train.py configs/exchange/cross_stitch_nyud.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_20000.pth \
#                     single_checkpoints.depth=singles/depth/iter_20000.pth \
#                     single_checkpoints.normals=singles/normals/iter_20000.pth \
#                     single_checkpoints.edge=singles/edge/iter_20000.pth
#   python tools/test.py configs/exchange/cross_stitch_nyud.py \
#       work_dirs/cross_stitch_nyud/iter_20000.pth
#
# Takes 20,000 iterations. The paper has no figures for this network. docs/guide.md shows how to
# train the single-task networks. Without single_checkpoints, training starts from random weights,
# or with `pretrained` from ImageNet weights; neither is the paper's setting.
_base_ = '../branched_nyud.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='CrossStitchNetwork'))
