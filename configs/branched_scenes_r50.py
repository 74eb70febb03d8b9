# Retrain a branched ResNet-50 on the synthetic scenes, as the search found it.
#
#   python tools/train.py configs/branched_scenes_r50.py \
#       --cfg-options architecture=work_dirs/search_scenes_r50/architecture.json
#   python tools/test.py configs/branched_scenes_r50.py \
#       work_dirs/branched_scenes_r50/iter_600.pth
_base_ = [
    './_base_/models/resnet50_pascal_context.py',
    './_base_/datasets/scenes.py',
    './_base_/schedules/scenes.py',
]

architecture = 'configs/architectures/scenes_r50.json'  # override it with what a search has written
pretrained = None
total_batch_size = 8  # over all ranks
cost_shape = (128, 160)

model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='BranchedNetwork', encoder=_base_.encoder),
    decode_heads=_base_.decode_heads,
)
