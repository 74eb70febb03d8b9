# Train an NDDR-CNN with MobileNetV2 on PASCAL-Context: an encoder for each task; after the stem and
# after every stage, 1x1 convolutions reduce the concatenated features of all tasks to new features
# for each task (Gao et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/nddr_pascal.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_40000.pth \
#                     single_checkpoints.human_parts=singles/human_parts/iter_40000.pth \
#                     single_checkpoints.saliency=singles/saliency/iter_40000.pth \
#                     single_checkpoints.normals=singles/normals/iter_40000.pth \
#                     single_checkpoints.edge=singles/edge/iter_40000.pth
#   python tools/test.py configs/exchange/nddr_pascal.py \
#       work_dirs/nddr_pascal/iter_40000.pth
#
# Takes 40,000 iterations. The paper has 21.8 billion multiply-adds, as get_madds.py also counts,
# and Delta_m -2.02 after a search for the learning rate. This config uses the same rate as all
# others. docs/guide.md shows how to train the single-task networks. Without single_checkpoints,
# training starts from random weights, or with `pretrained` from ImageNet weights; neither is the
# paper's setting.
_base_ = '../branched_pascal.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='NDDRCNN', act_cfg=dict(type='ReLU6')))
