# MobileNetV2 with R-ASPP, and what its DeepLabv3+ decoders have in common. search_*.py and
# branched_*.py put a supernet or a branched network around the encoder. Decoders take as many
# channels as the encoder gives.
_head = dict(
    type='DeepLabV3PlusHead',
    channels=128,
    separable=True,  # and with it ReLU6, as in all of MobileNetV2 (paper, Appendix B)
)
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(
        type='mmbmtas.BatchPreprocessor',
        mean=[127.5] * 3,  # intensities to [-1, 1]
        std=[127.5] * 3,
        bgr_to_rgb=True,
    ),
    backbone=dict(encoder=dict(type='MobileNetV2Encoder')),
)
