# Compare all models of the paper on NYUD-v2 with ResNet-50 (BMTAS, section 4.2), on a machine with
# several GPUs or a cluster.
#
#   python tools/compare.py configs/compare/nyud.py -o work_dirs/compare_nyud \
#       --jobs 4 --gpus 0 1 2 3
#
# Everything else is as in pascal.py, which also has the ablations.
data_root = 'data/NYUD_MT'
search = 'configs/search_nyud_r50.py'
branched = 'configs/branched_nyud_r50.py'
seeds = [0, 1, 2]
headlines = ['edge/odsF']  # as in the paper; the first metric of the config is the AP of pixels
paper = 'configs/compare/paper/nyud.json'

cfg_options = {'pretrained': 'torchvision://resnet50'}
search_options = {
    'model.resource_loss.weight': 10.0,
    'model.resource_loss.target_madds': 223.7e9,
}

models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared'),
    searched=dict(kind='searched'),
    searched_small=dict(
        kind='searched', search_options={'model.resource_loss.target_madds': 155.8e9}
    ),
    searched_large=dict(
        kind='searched', search_options={'model.resource_loss.target_madds': 248.3e9}
    ),
    random=dict(kind='random', reference='searched', number=2),
    permutations=dict(kind='permutations', reference='searched', number=5),
    vanilla=dict(kind='vanilla', reference='searched'),
    fafs=dict(kind='fafs', alpha=[0.1, 1.0, 5.0]),
    bmn=dict(kind='bmn', reference='searched'),
    cross_stitch=dict(
        kind='exchange',
        config='configs/exchange/cross_stitch_nyud_r50.py',
        single='single',
        options=dict(pretrained=None),
    ),
    nddr=dict(
        kind='exchange',
        config='configs/exchange/nddr_nyud_r50.py',
        single='single',
        options=dict(pretrained=None),
    ),
    mtan=dict(kind='exchange', config='configs/exchange/mtan_nyud_r50.py'),
)
