# MobileNetV2 with R-ASPP and a DeepLabv3+ decoder for each task of NYUD-v2, with the
# paper's loss weights. search_*.py and branched_*.py put a supernet or a branched network around
# the encoder. Decoders take as many channels as the encoder gives.
_head = dict(
    type='DeepLabV3PlusHead',
    channels=128,
    separable=True,  # and with it ReLU6, as in all of MobileNetV2 (paper, Appendix B)
)
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(
        type='mmengine.ImgDataPreprocessor',
        mean=[127.5] * 3,  # intensities to [-1, 1]
        std=[127.5] * 3,
        bgr_to_rgb=True,
    ),
    backbone=dict(encoder=dict(type='MobileNetV2Encoder')),
    decode_heads=dict(
        semseg=dict(
            **_head,
            num_classes=40,
            target_key='gt_semseg',
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0),
        ),
        depth=dict(
            **_head,
            num_classes=1,
            target_key='gt_depth',
            output='value',
            loss_decode=dict(type='DepthL1Loss', loss_weight=1.0),
        ),
        normals=dict(
            **_head,
            num_classes=3,
            target_key='gt_normals',
            output='normals',
            loss_decode=dict(type='NormalsL1Loss', loss_weight=10.0),
        ),
        edge=dict(
            **_head,
            num_classes=1,
            target_key='gt_edge',
            output='probability',
            loss_decode=dict(type='BalancedBCELoss', positive_weight=0.8, loss_weight=50.0),
        ),
    ),
)
