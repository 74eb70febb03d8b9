# Compare trees on PASCAL-Context with ResNet-50 (BMTAS, Table D), on a machine with several GPUs or
# a cluster.
#
#   python tools/compare.py configs/compare/pascal_r50.py -o work_dirs/compare_pascal_r50 \
#       --jobs 4 --gpus 0 1 2 3
#
# Everything else is as in pascal.py, which also has the other methods and the ablations.
_base_ = './pascal.py'

search = 'configs/search_pascal_r50.py'
branched = 'configs/branched_pascal_r50.py'
paper = 'configs/compare/paper/pascal_r50.json'

cfg_options = {'pretrained': 'torchvision://resnet50'}
search_options = {'model.resource_loss.target_madds': 225.8e9}

models = dict(
    _delete_=True,
    single=dict(kind='single'),
    shared=dict(kind='shared'),
    searched=dict(kind='searched'),
    searched_small=dict(
        kind='searched', search_options={'model.resource_loss.target_madds': 199.0e9}
    ),
    searched_large=dict(
        kind='searched', search_options={'model.resource_loss.target_madds': 298.2e9}
    ),
    random=dict(kind='random', reference='searched', number=2),
    permutations=dict(kind='permutations', reference='searched', number=5),
    vanilla=dict(kind='vanilla', reference='searched'),
)
