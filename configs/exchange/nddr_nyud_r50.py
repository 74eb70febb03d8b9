# Train an NDDR-CNN with ResNet-50 on NYUD-v2: an encoder for each task; after the stem and after
# every stage, 1x1 convolutions reduce the concatenated features of all tasks to new features for
# each task (Gao et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/nddr_nyud_r50.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_20000.pth \
#                     single_checkpoints.depth=singles/depth/iter_20000.pth \
#                     single_checkpoints.normals=singles/normals/iter_20000.pth \
#                     single_checkpoints.edge=singles/edge/iter_20000.pth
#   python tools/test.py configs/exchange/nddr_nyud_r50.py \
#       work_dirs/nddr_nyud_r50/iter_20000.pth
#
# Takes 20,000 iterations. The paper has 366.2 billion multiply-adds, as get_madds.py also counts,
# and Delta_m 0.91 after a search for the learning rate. This config uses the same rate as all
# others. docs/guide.md shows how to train the single-task networks. Without single_checkpoints,
# training starts from random weights, or with `pretrained` from ImageNet weights; neither is the
# paper's setting.
_base_ = '../branched_nyud_r50.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='NDDRCNN'))
