default_scope = 'mmbmtas'
custom_imports = dict(imports=['mmbmtas'], allow_failed_imports=False)
env_cfg = dict(cudnn_benchmark=True)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
default_hooks = dict(timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=50), param_scheduler=dict(type='ParamSchedulerHook'), checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2), sampler_seed=dict(type='DistSamplerSeedHook'))
randomness = dict(seed=0)
