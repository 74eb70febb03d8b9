# Search a branched network on the synthetic scenes by the similarity of features. This is our
# method, not the paper's (docs/method.md).
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   python tools/train.py configs/similarity_scenes.py \
#       --cfg-options model.resource_loss.target_madds=80e6
#
# Writes work_dirs/similarity_scenes/architecture.json, which branched_scenes.py retrains, and the
# similarities as similarity.json and .png. Takes 150 iterations of the weights and none of the
# architecture, a few minutes on two cores. In the first 60 all tasks train one shared network; then
# each continues from a copy of it. Without a budget, resource_loss.weight weighs the cost against
# the scatter of features within groups; with 1, sharing all and sharing nothing are equally good.
_base_ = './search_scenes.py'

weight_iters = 150

model = dict(resource_loss=dict(weight=1.0))
train_cfg = dict(_delete_=True, type='SimilaritySearchLoop', arch_fraction=0.2, shared_fraction=0.4)
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval=150),
    dict(type='ArchitectureExportHook'),
    dict(type='CollapseHook'),
]
