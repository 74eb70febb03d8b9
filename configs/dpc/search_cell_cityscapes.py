# Search a dense prediction cell on Cityscapes (DPC, NeurIPS 2018).
#
#   pip install optuna
#   python tools/search_cell.py configs/dpc/search_cell_cityscapes.py -o out/cells_cityscapes \
#       --trials 200 --jobs 4 --gpus 0 1 2 3 --rerank 10 \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#
# Trials have the paper's settings: 30,000 iterations of 8 windows at a rate of 0.01. It tried
# 28,000 cells, without successive halving. The features take 34 GB.
_base_ = './cityscapes_aspp.py'

cell_search = dict(
    trials=200,
    iterations=30000,
    batch_size=8,
    crop=(768, 768),
    low_level=False,  # the head reads none
    rungs=(1 / 9, 1 / 3, 1),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ],
    mirror=dict(type='RandomFlip', prob=1.0),
)
