# Compare networks of paths on four pocket domains, small enough for two CPU cores.
#
#   python tools/dataset_converters/pocket_domains.py data/pocket
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/pocket.py -o out/pocket --jobs 2
#
# docs/paths.md explains the models, docs/results/pocket has the results.
data_root = 'data/pocket'
search = 'configs/mpnas/search_pocket.py'
branched = 'configs/mpnas/paths_pocket.py'
seeds = [0, 1, 2]

# Rooms are too few and too alike at this length for a fifth domain.
cfg_options = {
    'tasks': ['digits', 'faces', 'textures', 'glyphs'],
    'total_batch_size': 128,
}
search_options = {'default_hooks.checkpoint.interval': 300}
train_options = {
    'train_cfg.val_begin': 10**9,  # scored once, by tools/test.py
    'default_hooks.checkpoint.interval': 300,
}
# ABDP is a part of MPNAS. The models that MPNAS is compared with sum the losses unweighted.
_plain = {'model.loss_balancing': None}
_both = dict(search_options=_plain, options=_plain)

# The models that decide whether the search is worthwhile are trained first.
models = dict(
    single_path=dict(kind='single_path', options=_plain),
    largest_path=dict(kind='single_path', path='largest', options=_plain),
    paths=dict(kind='paths'),
    paths_no_abdp=dict(kind='paths', **_both),
    random_paths=dict(kind='random_paths', options=_plain),
    # The same paths if all domains share their running statistics.
    paths_shared_statistics=dict(
        kind='paths',
        reference='paths',
        options={'model.backbone.norm_statistics': 'shared'},
    ),
    multi_head=dict(kind='multi_head', **_both),
    # How much of the gain is due to ABDP alone.
    single_path_abdp=dict(kind='single_path'),
    independent=dict(kind='independent', **_both),
)
