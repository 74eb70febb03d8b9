# Images of noise and tasks that a planted tree computes from them, made in memory: a problem whose
# best tree is known. Four tasks: a and c belong together from the first layer on, and so do b and
# d. tools/analysis_tools/planted.py replaces these with other problems.
_tasks = ['a', 'b', 'c', 'd']
_dataset = dict(
    type='PlantedMT',
    tree=[[['a', 'c'], ['b', 'd']]] * 3,
    width=4,
    seed=0,
    pipeline=[dict(type='PackMultiTaskInputs')],
)
train_dataloader = dict(
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=_dataset,
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_dataset, split='val', test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmbmtas.ValueMetric', task=task) for task in _tasks]
test_evaluator = val_evaluator

cost_shape = (16, 16)
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(
        type='mmbmtas.BatchPreprocessor',
        mean=[128.0] * 3,  # as PlantedMT stores images of mean 0 and standard deviation 1
        std=[32.0] * 3,
    ),
    backbone=dict(encoder=dict(type='PlainEncoder', width=4, depth=3)),
    decode_heads={
        task: dict(
            type='ReadoutHead',
            num_classes=1,
            output='value',
            target_key=f'gt_{task}',
            loss_decode=dict(type='DepthL1Loss', ignore=None),
        )
        for task in _tasks
    },
)
