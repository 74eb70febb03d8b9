# The paper's search: SGD for the weights, Adam for the architecture parameters, a temperature that
# falls from 5.0 to 0.1. A config that uses this states weight_iters and warmup_iters.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    constructor='SearchOptimWrapperConstructor',
    weights=dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    ),
    arch_params=dict(
        type='OptimWrapper',
        optimizer=dict(type='Adam', lr=0.01, weight_decay=5e-5),
    ),
)
param_scheduler = dict(
    weights=[dict(type='PolyLR', power=0.9, eta_min=0, by_epoch=False)],
    arch_params=[],
)
train_cfg = dict(type='BranchedSearchLoop', arch_fraction=0.2, split_seed=0)
default_hooks = dict(param_scheduler=dict(type='SearchParamSchedulerHook'))
custom_hooks = [
    dict(type='TemperatureHook', start=5.0, end=0.1),
    dict(type='OptimizerStateResetHook'),
    dict(type='SearchBatchNormHook'),
    dict(type='ArchitectureLoggerHook'),
    dict(type='ArchitectureExportHook'),
    dict(type='CollapseHook'),
]
# The search itself does not validate. tools/test.py scores a supernet's checkpoint, its tasks
# routed by the most probable candidates; such scores say little about the scores of the retrained
# tree.
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
