# Search a branched MobileNetV2 for the tasks of PASCAL-Context (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_pascal.py --cfg-options pretrained=torchvision://mobilenet_v2
#
# Writes work_dirs/search_pascal/architecture.json, which branched_pascal.py retrains. Takes 40,000
# iterations of the weights and about a quarter more of the architecture; the paper reports 3.5 days
# on a V100. Expect 7.5, 9.1 and 12.5 billion multiply-adds for the paper's BMTAS-1, -2 and -3,
# depending on resource_loss.weight (lambda), whose values the paper does not give. To set a budget
# instead, use model.resource_loss.target_madds. Without `pretrained`, the search starts from random
# weights, which is not the paper's setting.
_base_ = [
    './_base_/models/mobilenet_v2_pascal_context.py',
    './_base_/datasets/pascal_context_search.py',
    './_base_/schedules/search.py',
]

pretrained = None  # ImageNet weights: a file, a URL, or torchvision://mobilenet_v2
total_batch_size = 16  # over all ranks
weight_iters = 40000

model = dict(
    type='SearchEncoderDecoder',
    backbone=dict(type='BranchedSupernet'),
    resource_loss=dict(type='ResourceLoss', weight=0.5),
)
train_cfg = dict(warmup_iters=2000)
