# A narrow MobileNetV2 with R-ASPP and narrow decoders for the five tasks of the synthetic scenes,
# with the paper's loss weights on PASCAL-Context. Small enough for two CPU cores. search_*.py and
# branched_*.py put a supernet or a branched network in front of the decoders.
encoder = dict(type='MobileNetV2Encoder', widen_factor=0.25, context_channels=64)
head = dict(
    type='DeepLabV3PlusHead',
    in_channels=[8, 64],
    channels=32,
    low_level_channels=16,
    separable=True,
    act_cfg=dict(type='ReLU6'),  # as in all of MobileNetV2 (paper, Appendix B)
)
decode_heads = dict(
    semseg=dict(
        **head,
        num_classes=21,
        target_key='gt_semseg',
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0),
    ),
    human_parts=dict(
        **head,
        num_classes=7,
        target_key='gt_human_parts',
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=2.0),
    ),
    saliency=dict(
        **head,
        num_classes=1,
        target_key='gt_saliency',
        output='probability',
        loss_decode=dict(type='BalancedBCELoss', loss_weight=5.0),
    ),
    normals=dict(
        **head,
        num_classes=3,
        target_key='gt_normals',
        output='normals',
        loss_decode=dict(type='NormalsL1Loss', loss_weight=10.0),
    ),
    edge=dict(
        **head,
        num_classes=1,
        target_key='gt_edge',
        output='probability',
        loss_decode=dict(type='BalancedBCELoss', positive_weight=0.95, loss_weight=50.0),
    ),
)
data_preprocessor = dict(
    type='mmengine.ImgDataPreprocessor',
    mean=[127.5] * 3,  # intensities to [-1, 1]
    std=[127.5] * 3,
    bgr_to_rgb=True,
)
