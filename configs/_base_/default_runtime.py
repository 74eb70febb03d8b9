# Settings of all runs: scope, hooks, logs, seeds.
default_scope = 'mmbmtas'
custom_imports = dict(imports=['mmbmtas'], allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

# Scalars go to WORK_DIR/TIME/vis_data; add dict(type='TensorboardVisBackend') for TensorBoard.
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='MultiTaskVisualizer', vis_backends=vis_backends, name='visualizer')

# For tools/test.py --tta; the data set's `tta_pipeline` defines the views.
tta_model = dict(type='MultiTaskTTAModel')

log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2),
    gradients=dict(type='NonFiniteGradientHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='MultiTaskVisualizationHook'),
)
