# Search a branched MobileNetV2 for the tasks of NYUD-v2 (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_nyud.py --cfg-options pretrained=torchvision://mobilenet_v2
#
# Writes work_dirs/search_nyud/architecture.json, which branched_nyud.py retrains.
# Takes 20,000 iterations of the weights and about a quarter more of the architecture; the paper
# reports 1 day on a V100. Expect trees between Shared and all apart; the paper has no figures for
# this pair, depending on resource_loss.weight (lambda), whose values the paper does not give; or
# ask for a budget with model.resource_loss.target_madds. Without `pretrained` the search starts
# from random weights, which is not the paper's setting.
_base_ = [
    './_base_/models/mobilenet_v2_nyud.py',
    './_base_/datasets/nyud_search.py',
    './_base_/schedules/search.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks
weight_iters = 20000

model = dict(
    type='SearchEncoderDecoder',
    backbone=dict(type='BranchedSupernet'),
    resource_loss=dict(type='ResourceLoss', weight=0.5),
)
train_cfg = dict(warmup_iters=1000)
