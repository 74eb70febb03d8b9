# Search a path for each pocket domain: MPNAS, small enough for two CPU cores.
#
#   python tools/dataset_converters/pocket_domains.py data/pocket
#   python tools/train.py configs/mpnas/search_pocket.py
#
# Writes work_dirs/search_pocket/architecture.json, which paths_pocket.py trains. Such a short
# search has few steps, so policies learn at a rate of 0.03 instead of 3e-4.
_base_ = [
    '../_base_/models/mobilenet_v3_pocket.py',
    '../_base_/datasets/pocket.py',
    '../_base_/schedules/paths_search.py',
]

total_batch_size = 80  # over all ranks; 16 of each domain
weight_iters = 300

model = dict(
    type='PathSearchEncoderDecoder',
    backbone=dict(type='PathSupernet', domains=[*_base_.model.decode_heads]),
    loss_balancing=dict(type='ABDP', temperature=0.2),
)
optim_wrapper = dict(arch_params=dict(optimizer=dict(lr=0.03)))
default_hooks = dict(logger=dict(interval=25), checkpoint=dict(interval=100))
