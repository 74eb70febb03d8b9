# Search a path for each of two dense data sets, PASCAL-Context and NYUD-v2 (MPNAS).
#
#   python tools/train.py configs/mpnas/search_pascal_nyud.py
#
# Writes work_dirs/search_pascal_nyud/architecture.json, which paths_pascal_nyud.py trains. Each
# domain has three tasks, which share its path. The article has no dense tasks, so the length and
# the batch size are our choice.
_base_ = [
    '../_base_/models/mobilenet_v3_dense.py',
    '../_base_/datasets/pascal_nyud.py',
    '../_base_/schedules/paths_search.py',
]

total_batch_size = 16  # over all ranks; 8 of each domain
weight_iters = 20000

model = dict(
    type='PathSearchEncoderDecoder',
    backbone=dict(
        type='PathSupernet',
        domains=dict(
            pascal=['semseg', 'human_parts', 'saliency'], nyud=['depth', 'normals', 'edge']
        ),
    ),
)
train_cfg = dict(val_batch_factor=1)  # four times as many images would not fit into a GPU's memory
