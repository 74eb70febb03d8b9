# Training on synthetic scenes: some minutes on two CPU cores, from random weights, so it uses AdamW
# at a high rate instead of the paper's SGD. The constructor lets an operation that n tasks share
# learn at 1/n of the learning rate.
_base_ = '../default_runtime.py'

max_iters = 600

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.015, weight_decay=1e-4),
    constructor='SharedLrOptimWrapperConstructor',
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', val_interval=600)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
