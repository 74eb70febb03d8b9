# Compare context modules on the synthetic scenes, each in the same networks: R-ASPP (the configs'
# own), a separable ASPP, the cell found on Cityscapes (DPC, NeurIPS 2018) and one found on scenes.
#
#   python tools/dataset_converters/synthetic_scenes.py data/scenes \
#       --layout pascal --train 400 --val 100
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/cells.py -o out/cells --jobs 2
#
# docs/compare.md explains the keys. configs/cells/scenes.json is the best trial of
# docs/results/cells; that search used the features of another backbone.
_base_ = './scenes.py'  # the data, the seeds and the lengths of all trainings

# All layers of all models learn at one rate; scenes.py says why.
train_options = {'optim_wrapper.constructor': 'DefaultOptimWrapperConstructor'}

_cityscapes = 'configs/cells/dpc_cityscapes.json'
_scenes = 'configs/cells/scenes.json'
# The ASPP of DeepLabv3+, with dilation rates that fit into feature maps of 8 x 10.
_aspp = dict(type='ContextModule', dilations=(1, 2, 4, 6), separable=True)

models = dict(
    _delete_=True,
    single=dict(kind='single'),
    tree=dict(kind='tree', architecture='configs/architectures/scenes.json'),
    tree_aspp=dict(kind='cell', reference='tree', context=_aspp),
    tree_cityscapes=dict(kind='cell', reference='tree', cell=_cityscapes),
    tree_scenes=dict(kind='cell', reference='tree', cell=_scenes),
    single_scenes=dict(kind='cell', reference='single', cell=_scenes),
)
