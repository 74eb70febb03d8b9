# A narrow MobileNetV2 with narrow decoders for the five tasks of the synthetic scenes, which are
# those of PASCAL-Context. Small enough for two CPU cores.
_base_ = './mobilenet_v2_pascal_context.py'

model = dict(
    backbone=dict(encoder=dict(widen_factor=0.25, context_channels=64)),
    decode_heads={
        task: dict(channels=32, low_level_channels=16) for task in _base_.model.decode_heads
    },
)
