# A branched MobileNetV2 on PASCAL-Context, with the dense prediction cell that was found on
# Cityscapes (DPC, NeurIPS 2018) instead of R-ASPP.
#
#   python tools/train.py configs/branched_pascal_dpc.py \
#       --cfg-options architecture=work_dirs/search_pascal/architecture.json
#
# The tree must have the same cell. Either search with the cell, or convert another tree;
# docs/cells.md has both commands. All else is as in branched_pascal.py. This network is ours; there
# are no published numbers.
_base_ = './branched_pascal.py'

# An example tree; override it with the architecture.json of a search.
architecture = 'configs/architectures/pascal_dpc.json'

model = dict(
    backbone=dict(
        encoder=dict(
            context=dict(type='DensePredictionCell', cell='configs/cells/dpc_cityscapes.json')
        )
    )
)
