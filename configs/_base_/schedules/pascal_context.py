# Training of a branched, shared or single-task network on PASCAL-Context (paper, Section 4). The
# constructor lets an operation that n tasks share learn at 1/n of the learning rate. Configs state
# total_batch_size: 16 for MobileNetV2, 8 for ResNet-50.
max_iters = 40000

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=1e-4),
    constructor='SharedLrOptimWrapperConstructor',
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
