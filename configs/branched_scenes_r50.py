# Retrain a branched ResNet-50 on the synthetic scenes, as the search found it.
#
#   python tools/train.py configs/branched_scenes_r50.py \
#       --cfg-options architecture=work_dirs/search_scenes_r50/architecture.json
#   python tools/test.py configs/branched_scenes_r50.py \
#       work_dirs/branched_scenes_r50/iter_600.pth
_base_ = './branched_scenes.py'

architecture = 'configs/architectures/scenes_r50.json'  # override it with what a search has written

model = dict(
    backbone=dict(encoder=dict(_delete_=True, type='ResNetEncoder', depth=50)),
    decode_heads={
        task: dict(channels=256, low_level_channels=48, separable=False)
        for task in _base_.model.decode_heads
    },
)
