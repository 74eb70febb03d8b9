# Train an NDDR-CNN with MobileNetV2 on NYUD-v2: an encoder for each task; after the stem and after
# every stage, 1x1 convolutions reduce the concatenated features of all tasks to new features for
# each task (Gao et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/nddr_nyud.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_20000.pth \
#                     single_checkpoints.depth=singles/depth/iter_20000.pth \
#                     single_checkpoints.normals=singles/normals/iter_20000.pth \
#                     single_checkpoints.edge=singles/edge/iter_20000.pth
#   python tools/test.py configs/exchange/nddr_nyud.py \
#       work_dirs/nddr_nyud/iter_20000.pth
#
# Takes 20,000 iterations. The paper has no figures for this network. docs/guide.md shows how to
# train the single-task networks. Without single_checkpoints, training starts from random weights,
# or with `pretrained` from ImageNet weights; neither is the paper's setting.
_base_ = '../branched_nyud.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='NDDRCNN', act_cfg=dict(type='ReLU6')))
