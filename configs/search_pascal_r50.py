# Search a branched ResNet-50 for the tasks of PASCAL-Context (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_pascal_r50.py --cfg-options pretrained=torchvision://resnet50
#
# Writes work_dirs/search_pascal_r50/architecture.json, which branched_pascal_r50.py retrains. Takes
# 40,000 iterations of the weights and about a quarter more of the architecture; the paper reports
# 3.5 days on a V100. Expect a tree between Shared (154.6) and Single (345.7 billion multiply-adds),
# depending on resource_loss.weight (lambda), whose values the paper does not give. To set a budget
# instead, use model.resource_loss.target_madds. Without `pretrained`, the search starts from random
# weights, which is not the paper's setting. An iteration takes about 7 GB in float32, of which 1.6
# are weights and momentum (docs/performance.md); with model.backbone.with_cp=True it takes half.
_base_ = './search_pascal.py'

total_batch_size = 8  # over all ranks

model = dict(
    backbone=dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=50)),
    decode_heads={task: dict(channels=256, separable=False) for task in _base_.model.decode_heads},
)
