# Search a branched ResNet-50 for the tasks of NYUD-v2 (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_nyud_r50.py --cfg-options pretrained=torchvision://resnet50
#
# Writes work_dirs/search_nyud_r50/architecture.json, which branched_nyud_r50.py retrains.
# Takes 20,000 iterations of the weights and about a quarter more of the architecture; the paper
# reports 1 day on a V100. Expect trees between Shared (122.2) and Single (254.4 billion
# multiply-adds), depending on resource_loss.weight (lambda), whose values the paper does not give;
# or ask for a budget with model.resource_loss.target_madds. Without `pretrained` the search starts
# from random weights, which is not the paper's setting. An iteration takes about 9 GB in float32 by
# docs/performance.md; model.backbone.with_cp=True trades time for memory.
_base_ = [
    './_base_/models/resnet50_nyud.py',
    './_base_/datasets/nyud_search.py',
    './_base_/schedules/search.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://resnet50
total_batch_size = 8  # over all ranks
cost_shape = (425, 560)  # the retraining size
weight_iters = 20000

model = dict(
    type='SearchEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='BranchedSupernet', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
    resource_loss=dict(type='ResourceLoss', weight=0.5),
)
train_cfg = dict(warmup_iters=1000)
param_scheduler = dict(
    weights=[dict(type='PolyLR', power=0.9, eta_min=0, by_epoch=False)],
    arch_params=[],
)
