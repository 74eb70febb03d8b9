# Train a Cross-Stitch network with narrow MobileNetV2 on the synthetic scenes: an encoder for each
# task, whose features are mixed by learned weights, one for each pair of tasks, after the stem and
# after every stage (Misra et al., CVPR 2016).
#
#   python tools/train.py configs/exchange/cross_stitch_scenes.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_600.pth \
#                     single_checkpoints.human_parts=singles/human_parts/iter_600.pth \
#                     single_checkpoints.saliency=singles/saliency/iter_600.pth \
#                     single_checkpoints.normals=singles/normals/iter_600.pth \
#                     single_checkpoints.edge=singles/edge/iter_600.pth
#   python tools/test.py configs/exchange/cross_stitch_scenes.py \
#       work_dirs/cross_stitch_scenes/iter_600.pth
#
# Takes 600 iterations. This config is ours, not the paper's, for trying the method out.
# docs/guide.md shows how to train the single-task networks. Without single_checkpoints, training
# starts from random weights.
_base_ = '../branched_scenes.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='CrossStitchNetwork'))
