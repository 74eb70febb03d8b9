# A branched network on the synthetic scenes, with the dense prediction cell
# that was found on Cityscapes (DPC, NeurIPS 2018) in the place of R-ASPP.
#
#   python tools/train.py configs/branched_scenes_dpc.py \
#       --cfg-options architecture=work_dirs/search_scenes/architecture.json
#
# The tree must be one for the same cell: of a search with it, or another tree, transferred;
# docs/cells.md has both commands.
# All else is as in branched_scenes.py. Ours; no published numbers.
_base_ = './branched_scenes.py'

# An example to start from; override it with what a search has written.
architecture = 'configs/architectures/scenes_dpc.json'

model = dict(
    backbone=dict(
        encoder=dict(
            context=dict(type='DensePredictionCell', cell='configs/cells/dpc_cityscapes.json')
        )
    )
)
