# Compare all models of the paper on the synthetic scenes, small enough for two CPU cores.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/scenes.py -o out/compare --jobs 2
#
# docs/compare.md explains the keys. The models of the first block are those that decide whether the
# search is worth its while; they stand first and are trained first.
data_root = 'data/scenes'
search = 'configs/search_scenes.py'
branched = 'configs/branched_scenes.py'
seeds = [0, 1]

# One process loads, as the cores are few.
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

models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared'),
    searched=dict(kind='searched'),
    random=dict(kind='random', reference='searched', number=2),
    vanilla=dict(kind='vanilla', reference='searched'),
    permutations=dict(kind='permutations', reference='searched', number=2),
    recursive=dict(kind='searched', search='configs/ablations/search_scenes_recursive.py'),
    no_warmup=dict(kind='searched', search='configs/ablations/search_scenes_no_warmup.py'),
    fafs=dict(kind='fafs', alpha=1.0, images=100),
    bmn=dict(kind='bmn', reference='searched', images=100),
    cross_stitch=dict(
        kind='exchange', config='configs/exchange/cross_stitch_scenes.py', single='single'
    ),
    nddr=dict(kind='exchange', config='configs/exchange/nddr_scenes.py', single='single'),
    mtan=dict(kind='exchange', config='configs/exchange/mtan_scenes.py'),
)
