# Search a branched MobileNetV2 for the tasks of NYUD-v2 (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_nyud.py --cfg-options pretrained=torchvision://mobilenet_v2
#
# Writes work_dirs/search_nyud/architecture.json, which branched_nyud.py retrains. Takes 20,000
# iterations of the weights and about a quarter more of the architecture; the paper reports 1 day on
# a V100. Expect a tree between shared and all apart, depending on resource_loss.weight (lambda),
# whose values the paper does not give. To set a budget instead, use
# model.resource_loss.target_madds. The paper has no figures for this encoder on NYUD-v2. Without
# `pretrained`, the search starts from random weights, which is not the paper's setting.
_base_ = [
    './_base_/models/mobilenet_v2_nyud.py',
    './_base_/datasets/nyud_search.py',
    './_base_/schedules/search.py',
]

pretrained = None  # ImageNet weights: a file, a URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks
weight_iters = 20000

model = dict(
    type='SearchEncoderDecoder',
    backbone=dict(type='BranchedSupernet'),
    resource_loss=dict(type='ResourceLoss', weight=0.5),
)
train_cfg = dict(warmup_iters=1000)
