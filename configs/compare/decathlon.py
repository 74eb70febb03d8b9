# Compare networks of paths on the Visual Decathlon: what the article compares, on its data.
#
#   python tools/compare.py configs/compare/decathlon.py -o out/decathlon --gpus 0 1 2 3 --jobs 4
#
# docs/paths.md explains the models. 13 searches and 15 trainings a seed; the lengths are ours.
data_root = 'data/decathlon'
search = 'configs/mpnas/search_decathlon.py'
branched = 'configs/mpnas/paths_decathlon.py'
seeds = [0]

train_options = {
    'train_cfg.val_begin': 10**9,  # scored once, by tools/test.py
}
_plain = {'model.loss_balancing': None}

models = dict(
    independent=dict(kind='independent'),
    single_path=dict(kind='single_path'),
    multi_head=dict(kind='multi_head'),
    random_paths=dict(kind='random_paths'),
    paths=dict(kind='paths'),
    paths_no_abdp=dict(kind='paths', search_options=_plain, options=_plain),
)
