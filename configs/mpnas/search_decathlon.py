# Search a path for each domain of the Visual Decathlon (MPNAS), in the whole space.
#
#   python tools/train.py configs/mpnas/search_decathlon.py
#
# Writes work_dirs/search_decathlon/architecture.json, which paths_decathlon.py trains. The length
# is our choice: no public source has the article's schedule.
_base_ = [
    '../_base_/models/mobilenet_v3_decathlon.py',
    '../_base_/datasets/decathlon.py',
    '../_base_/schedules/paths_search.py',
]

total_batch_size = 320  # over all ranks; 32 of each domain
weight_iters = 60000

model = dict(
    type='PathSearchEncoderDecoder',
    backbone=dict(type='PathSupernet', domains=[*_base_.model.decode_heads]),
    loss_balancing=dict(type='ABDP', temperature=0.2),
)
