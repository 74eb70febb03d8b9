# Search a dense prediction cell on PASCAL VOC 2012 (DPC, NeurIPS 2018).
#
#   pip install optuna
#   python tools/search_cell.py configs/dpc/search_cell_voc.py -o out/cells_voc \
#       --trials 200 --jobs 4 --gpus 0 1 2 3 --rerank 10 \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#
# Images are padded to 512 x 512 pixels. This search is ours; the paper searched on Cityscapes only.
_base_ = './voc_aspp.py'

cell_search = dict(
    trials=200,
    iterations=10000,
    batch_size=8,
    crop=(512, 512),
    low_level=False,  # the head reads none
    rungs=(1 / 9, 1 / 3, 1),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='Pad', size=(512, 512), pad_val=dict(img=128, seg=255)),
        dict(type='PackSegInputs'),
    ],
    mirror=dict(type='RandomFlip', prob=1.0),
)
