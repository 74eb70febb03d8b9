# MobileNetV2 with the separable ASPP of DeepLabv3+,
# on person parts of PASCAL, in plain MMSegmentation (DPC, NeurIPS 2018).
#
#   python tools/train.py configs/dpc/person_part_aspp.py \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#   python tools/test.py configs/dpc/person_part_aspp.py work_dirs/person_part_aspp/iter_30000.pth
#
# Takes 30,000 iterations. The paper has figures only for a large Xception (71.34 with the cell).
# Data: docs/data.md. Without `pretrained`, training starts from random weights.
_base_ = ['../_base_/models/mobilenet_v2_plain.py', '../_base_/datasets/person_part.py']

architecture = 'configs/architectures/plain_aspp.json'
max_iters = 30000

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=7))
