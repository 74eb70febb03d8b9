# MobileNetV2 with the separable ASPP of DeepLabv3+,
# on Cityscapes, in plain MMSegmentation (DPC, NeurIPS 2018).
#
#   python tools/train.py configs/dpc/cityscapes_aspp.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/dpc/cityscapes_aspp.py work_dirs/cityscapes_aspp/iter_90000.pth
#
# Takes 90,000 iterations. The paper reports an mIoU of 73.97 on the validation set, with weights
# pretrained on COCO. Data: docs/cells.md. Without `pretrained`, training starts from random
# weights.
_base_ = ['../_base_/models/mobilenet_v2_plain.py', '../_base_/datasets/cityscapes.py']

architecture = 'configs/architectures/plain_aspp.json'
max_iters = 90000

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=19))
