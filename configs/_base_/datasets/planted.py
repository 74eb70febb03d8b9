# Images of noise and tasks that a planted tree computes from them, made in memory: a problem whose
# best tree is known. Four tasks, of which a and c, b and d belong together from the first layer on.
# tools/analysis_tools/planted.py puts other problems in.
tree = [[['a', 'c'], ['b', 'd']]] * 3
tasks = ['a', 'b', 'c', 'd']
encoder = dict(type='PlainEncoder', width=4, depth=3)

dataset = dict(
    type='PlantedMT',
    tree=tree,
    width=4,
    seed=0,
    pipeline=[dict(type='PackMultiTaskInputs')],
)
train_dataloader = dict(
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dataset,
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='val', test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmbmtas.ValueMetric', task=task) for task in tasks]
test_evaluator = val_evaluator

data_preprocessor = dict(
    type='mmengine.ImgDataPreprocessor',
    mean=[128.0] * 3,  # as PlantedMT stores images of mean 0 and deviation 1
    std=[32.0] * 3,
)
decode_heads = {
    task: dict(
        type='ReadoutHead',
        in_channels=[4, 4],
        num_classes=1,
        output='value',
        target_key=f'gt_{task}',
        loss_decode=dict(type='DepthL1Loss', ignore=None),
    )
    for task in tasks
}
