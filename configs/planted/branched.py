# Train a tree on a problem whose best tree is known (docs/results/planted).
#
#   python tools/train.py configs/planted/branched.py --work-dir work_dirs/planted_branched \
#       --cfg-options architecture=work_dirs/planted_similarity/architecture.json
#
# Takes 600 iterations, a quarter of a minute on a CPU. Labels have standard deviation 1. The
# planted tree reaches a mean absolute error of 0.1 to 0.4, depending on the initial weights; a
# network that shares all layers reaches about 0.5.
_base_ = ['../_base_/datasets/planted.py', '../_base_/default_runtime.py']

architecture = 'configs/architectures/planted.json'  # override it with the file of a search
total_batch_size = 16  # over all ranks
max_iters = 600

model = dict(backbone=dict(type='BranchedNetwork'))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=3e-2))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', val_interval=600)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(logger=dict(interval=100), checkpoint=dict(interval=10000))
