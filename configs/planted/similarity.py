# The search by similarity of features on a problem whose best tree is known (docs/results/planted).
#
#   python tools/train.py configs/planted/similarity.py --work-dir work_dirs/planted_similarity
#
# Writes work_dirs/planted_similarity/architecture.json, and the similarities as similarity.json and
# .png. Takes 400 iterations of the weights, a quarter of a minute on a CPU.
_base_ = './search.py'

weight_iters = 400

optim_wrapper = dict(weights=dict(optimizer=dict(lr=2e-2)))
train_cfg = dict(_delete_=True, type='SimilaritySearchLoop', arch_fraction=0.2)
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval=400),
    dict(type='ArchitectureExportHook'),
]
