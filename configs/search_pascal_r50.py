# Search a branched ResNet-50 for the tasks of PASCAL-Context (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_pascal_r50.py --cfg-options pretrained=torchvision://resnet50
#
# Writes work_dirs/search_pascal_r50/architecture.json, which branched_pascal_r50.py retrains.
# Takes 40,000 iterations of the weights and about a quarter more of the architecture; the paper
# reports 3.5 days on a V100. Expect trees between Shared (154.6) and Single (345.7 billion
# multiply-adds), depending on resource_loss.weight (lambda), whose values the paper does not give;
# or ask for a budget with model.resource_loss.target_madds. Without `pretrained` the search starts
# from random weights, which is not the paper's setting. An iteration takes about 7 GB in float32,
# 1.6 of them weights and momentum, by docs/performance.md; model.backbone.with_cp=True takes half.
_base_ = [
    './_base_/models/resnet50_pascal_context.py',
    './_base_/datasets/pascal_context_search.py',
    './_base_/schedules/search.py',
]

pretrained = None  # ImageNet weights: a file, an URL, or torchvision://resnet50
total_batch_size = 8  # over all ranks
cost_shape = (512, 512)  # the retraining size
weight_iters = 40000

model = dict(
    type='SearchEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='BranchedSupernet', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
    resource_loss=dict(type='ResourceLoss', weight=0.5),
)
train_cfg = dict(warmup_iters=2000)
param_scheduler = dict(
    weights=[dict(type='PolyLR', power=0.9, eta_min=0, by_epoch=False)],
    arch_params=[],
)
