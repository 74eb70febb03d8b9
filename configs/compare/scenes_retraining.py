# How reliable is one training? Two searched trees, trained three times each.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/scenes_retraining.py \
#       -o out/compare_retraining --jobs 2
#
# The trees are those that `soft` of scenes_routing.py found with the seeds 0 and 1; seeds in this
# file are those of the trainings. The trainings took 87 minutes on one core that other processes
# also used, 46 of them for the single-task networks.
_base_ = './scenes_routing.py'

_trees = 'docs/results/scenes_routing/trees/soft_seed'
_one_rate = {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'}
models = dict(
    _delete_=True,
    single=dict(kind='single'),
    tree0=dict(kind='tree', architecture=f'{_trees}0.json', options=_one_rate),
    tree1=dict(kind='tree', architecture=f'{_trees}1.json', options=_one_rate),
)
