# Train a Cross-Stitch network with ResNet-50 on PASCAL-Context: an encoder for each task, whose
# features are mixed by learned weights, one for each pair of tasks, after the stem and after every
# stage (Misra et al., CVPR 2016).
#
#   python tools/train.py configs/exchange/cross_stitch_pascal_r50.py \
#       --cfg-options single_checkpoints.semseg=singles/semseg/iter_40000.pth \
#                     single_checkpoints.human_parts=singles/human_parts/iter_40000.pth \
#                     single_checkpoints.saliency=singles/saliency/iter_40000.pth \
#                     single_checkpoints.normals=singles/normals/iter_40000.pth \
#                     single_checkpoints.edge=singles/edge/iter_40000.pth
#   python tools/test.py configs/exchange/cross_stitch_pascal_r50.py \
#       work_dirs/cross_stitch_pascal_r50/iter_40000.pth
#
# Takes 40,000 iterations. The paper found no competitive results here (Appendix D). docs/guide.md
# shows how to train the single-task networks. Without single_checkpoints, training starts from
# random weights, or with `pretrained` from ImageNet weights; neither is the paper's setting.
_base_ = '../branched_pascal_r50.py'

architecture = None
single_checkpoints = {}  # the checkpoint of a single-task network for each task

model = dict(backbone=dict(type='CrossStitchNetwork'))
