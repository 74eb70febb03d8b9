# MobileNetV2 with the dense prediction cell that was found on Cityscapes,
# on Cityscapes, in plain MMSegmentation (DPC, NeurIPS 2018).
#
#   python tools/train.py configs/dpc/cityscapes_dpc.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/dpc/cityscapes_dpc.py work_dirs/cityscapes_dpc/iter_90000.pth
#
# Takes 90,000 iterations. The paper reports an mIoU of 75.38 on the validation set, with weights
# pretrained on COCO. Data: docs/cells.md. Without `pretrained`, training starts from random
# weights.
_base_ = ['../_base_/models/mobilenet_v2_plain.py', '../_base_/datasets/cityscapes.py']

architecture = 'configs/architectures/plain_dpc.json'
max_iters = 90000

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=19))
