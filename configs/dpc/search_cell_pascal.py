# Search a dense prediction cell on PASCAL-Context, for all of its five tasks (DPC, NeurIPS 2018).
#
#   pip install optuna
#   python tools/search_cell.py configs/dpc/search_cell_pascal.py -o out/cells_pascal \
#       --trials 200 --jobs 4 --gpus 0 1 2 3 --rerank 10 \
#       --cfg-options pretrained=torchvision://mobilenet_v2
#
# The score is Delta_m against ASPP over all tasks. Images are padded to 512 x 512 pixels. This
# search is ours; the paper searched for one task.
_base_ = '../branched_pascal.py'

cell_search = dict(
    trials=200,
    references=dict(r_aspp=dict(type='ContextModule', dilations=(1,))),
    iterations=10000,
    batch_size=8,
    crop=(512, 512),
    rungs=(1 / 9, 1 / 3, 1),
    pipeline=[
        dict(type='LoadSampleImage'),
        dict(type='LoadPascalContextLabels'),
        dict(type='DeriveEdges'),
        dict(type='PadToSize', size=(512, 512)),
        dict(type='IgnoreEmptyParts'),
        dict(type='PackMultiTaskInputs'),
    ],
    mirror=dict(type='RandomFlipSample', prob=1.0),
)
