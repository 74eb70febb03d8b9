# Compare all models of the paper on the synthetic scenes, small enough for two CPU cores.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/scenes.py -o out/compare --jobs 2
#
# Takes about 85 minutes on two cores. docs/compare.md explains the keys, docs/results/scenes has
# the results. The models that decide whether the search is worthwhile are trained first.
data_root = 'data/scenes'
search = 'configs/search_scenes.py'
branched = 'configs/branched_scenes.py'
seeds = [0, 1]

# A single process loads the data, because there are few cores.
cfg_options = {
    f'{name}_dataloader.{key}': value
    for name in ('train', 'test')
    for key, value in (('num_workers', 0), ('persistent_workers', False))
}
# Between the shared network's 50 million multiply-adds and the 120 of all apart.
search_options = {
    'model.resource_loss.weight': 1e3,
    'model.resource_loss.target_madds': 80e6,
}
train_options = {
    'max_iters': 250,
    'train_cfg.val_begin': 10**9,  # scored once, by tools/test.py
    'default_hooks.checkpoint.interval': 250,
}

# branched_scenes.py divides the learning rate of parts that n tasks share by n, as the paper does:
# SGD then steps by the mean of the tasks' gradients. AdamW divides gradients by their size anyway,
# so here all parts learn at one rate; shared_scaled shows the difference. Single-task networks are
# the same either way.
_one_rate = {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'}
# A search that decides before its supernet has learned much: the weights take few and small steps.
_short = {
    'weight_iters': 100,
    'train_cfg.warmup_iters': 20,
    'optim_wrapper.weights.optimizer.lr': 1e-3,
}
_exchange = dict(kind='exchange', seeds=[0], options=_one_rate)

models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared', options=_one_rate),
    searched=dict(kind='searched', options=_one_rate),
    searched_short=dict(kind='searched', search_options=_short, options=_one_rate),
    random=dict(kind='random', reference='searched_short', number=2, options=_one_rate),
    vanilla=dict(kind='vanilla', reference='searched', options=_one_rate),
    permutations=dict(kind='permutations', reference='searched', number=2, options=_one_rate),
    fafs=dict(kind='fafs', shared='shared', alpha=1.0, images=100, seeds=[0], options=_one_rate),
    bmn=dict(kind='bmn', reference='searched', images=100, seeds=[0], options=_one_rate),
    cross_stitch=dict(
        **_exchange, config='configs/exchange/cross_stitch_scenes.py', single='single'
    ),
    nddr=dict(**_exchange, config='configs/exchange/nddr_scenes.py', single='single'),
    mtan=dict(**_exchange, config='configs/exchange/mtan_scenes.py'),
    recursive=dict(
        kind='searched',
        search='configs/ablations/search_scenes_recursive.py',
        options=_one_rate,
    ),
    shared_scaled=dict(kind='shared'),
    # Cross-Stitch and NDDR-CNN start from trained single-task networks. These are the same
    # single-task networks, trained for as long in total.
    single_twice=dict(
        kind='single',
        seeds=[0],
        options={'max_iters': 500, 'default_hooks.checkpoint.interval': 500},
    ),
)
