# Compare networks of paths on the Visual Decathlon: what the article compares, on its data.
#
#   python tools/compare.py configs/compare/decathlon.py -o out/decathlon --gpus 0 1 2 3 --jobs 4
#
# docs/paths.md explains the models. Takes 13 searches and 15 trainings per seed; their lengths are
# our choice.
data_root = 'data/decathlon'
search = 'configs/mpnas/search_decathlon.py'
branched = 'configs/mpnas/paths_decathlon.py'
seeds = [0]

train_options = {
    'train_cfg.val_begin': 10**9,  # scored once, by tools/test.py
}
# ABDP is a part of MPNAS. The models that MPNAS is compared with sum the losses unweighted.
_plain = {'model.loss_balancing': None}
_both = dict(search_options=_plain, options=_plain)

models = dict(
    independent=dict(kind='independent', **_both),
    single_path=dict(kind='single_path', options=_plain),
    multi_head=dict(kind='multi_head', **_both),
    random_paths=dict(kind='random_paths', options=_plain),
    paths=dict(kind='paths'),
    paths_no_abdp=dict(kind='paths', **_both),
)
