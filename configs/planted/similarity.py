# The search by similarity of features on a problem whose best tree is known (docs/results/planted).
#
#   python tools/train.py configs/planted/similarity.py --work-dir work_dirs/planted_similarity
#
# Writes work_dirs/planted_similarity/architecture.json, and the similarities as similarity.json and
# .png. Takes 500 iterations of the weights, a quarter of a minute on a CPU. In the first 200 all
# tasks train one shared network; then each continues from a copy of it.
_base_ = './search.py'

weight_iters = 500

optim_wrapper = dict(weights=dict(optimizer=dict(lr=2e-2)))
train_cfg = dict(_delete_=True, type='SimilaritySearchLoop', arch_fraction=0.2, shared_fraction=0.4)
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval=500),
    dict(type='ArchitectureExportHook'),
]
