# Compare ways to run fewer candidates during the search: the time they save, and the quality they
# cost.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/scenes_routing.py \
#       -o out/compare_routing --jobs 2
#
# The searches differ only in model.backbone.routing. The column "tree s" of the report and its
# picture of search times show how long each search took. docs/compare.md explains the keys.
_base_ = './scenes.py'

seeds = [0, 1, 2]

_one_rate = {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'}
_search = 'configs/ablations/search_scenes'
models = dict(
    _delete_=True,
    single=dict(kind='single'),
    soft=dict(kind='searched', options=_one_rate),
    hard=dict(kind='searched', search=f'{_search}_hard.py', options=_one_rate),
    top2=dict(kind='searched', search=f'{_search}_top2.py', options=_one_rate),
    threshold=dict(kind='searched', search=f'{_search}_threshold.py', options=_one_rate),
)
