# Train an NDDR-CNN with ResNet-50 on the synthetic scenes: an encoder for each task; after the stem
# and after every stage, 1x1 convolutions reduce the concatenated features of all tasks to new
# features for each task (Gao et al., CVPR 2019).
#
#   python tools/train.py configs/exchange/nddr_scenes_r50.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_600.pth \
#                     single_checkpoints.human_parts=singles/human_parts/iter_600.pth \
#                     single_checkpoints.saliency=singles/saliency/iter_600.pth \
#                     single_checkpoints.normals=singles/normals/iter_600.pth \
#                     single_checkpoints.edge=singles/edge/iter_600.pth
#   python tools/test.py configs/exchange/nddr_scenes_r50.py \
#       work_dirs/nddr_scenes_r50/iter_600.pth
#
# Takes 600 iterations; a full ResNet-50 is meant for a GPU, nddr_scenes.py for two CPU cores. This
# config is ours, not the paper's, for trying the method out. docs/guide.md shows how to train the
# single-task networks. Without single_checkpoints, training starts from random weights.
_base_ = '../branched_scenes_r50.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='NDDRCNN'))
