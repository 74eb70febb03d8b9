# Retrain the branched ResNet-50 that the search found, on the synthetic scenes.
#
#   python tools/train.py configs/branched_scenes_r50.py \
#       --cfg-options architecture=work_dirs/search_scenes_r50/architecture.json
#   python tools/test.py configs/branched_scenes_r50.py \
#       work_dirs/branched_scenes_r50/iter_600.pth
_base_ = './branched_scenes.py'

architecture = 'configs/architectures/scenes_r50.json'  # override it with the file of a search

model = dict(
    backbone=dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=50)),
    decode_heads={
        task: dict(channels=256, low_level_channels=48, separable=False)
        for task in _base_.model.decode_heads
    },
)
