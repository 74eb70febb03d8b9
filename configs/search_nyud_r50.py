# Search a branched ResNet-50 for the tasks of NYUD-v2 (BMTAS, BMVC 2020).
#
#   python tools/train.py configs/search_nyud_r50.py --cfg-options pretrained=torchvision://resnet50
#
# Writes work_dirs/search_nyud_r50/architecture.json, which branched_nyud_r50.py retrains. Takes
# 20,000 iterations of the weights and about a quarter more of the architecture; the paper reports 1
# day on a V100. Expect a tree between Shared (122.2) and Single (254.4 billion multiply-adds),
# depending on resource_loss.weight (lambda), whose values the paper does not give. To set a budget
# instead, use model.resource_loss.target_madds. Without `pretrained`, the search starts from random
# weights, which is not the paper's setting. An iteration takes about 9 GB in float32
# (docs/performance.md); model.backbone.with_cp=True trades time for memory.
_base_ = './search_nyud.py'

total_batch_size = 8  # over all ranks

model = dict(
    backbone=dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=50)),
    decode_heads={task: dict(channels=256, separable=False) for task in _base_.model.decode_heads},
)
