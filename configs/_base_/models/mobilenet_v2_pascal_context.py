# MobileNetV2 with a decoder for each task of PASCAL-Context, with the paper's loss weights.
_base_ = './mobilenet_v2.py'

model = dict(
    decode_heads=dict(
        semseg=dict(
            **_base_._head,
            num_classes=21,
            target_key='gt_semseg',
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0),
        ),
        human_parts=dict(
            **_base_._head,
            num_classes=7,
            target_key='gt_human_parts',
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=2.0),
        ),
        saliency=dict(
            **_base_._head,
            num_classes=1,
            target_key='gt_saliency',
            output='probability',
            loss_decode=dict(type='BalancedBCELoss', loss_weight=5.0),
        ),
        normals=dict(
            **_base_._head,
            num_classes=3,
            target_key='gt_normals',
            output='normals',
            loss_decode=dict(type='NormalsL1Loss', loss_weight=10.0),
        ),
        edge=dict(
            **_base_._head,
            num_classes=1,
            target_key='gt_edge',
            output='probability',
            loss_decode=dict(type='BalancedBCELoss', positive_weight=0.95, loss_weight=50.0),
        ),
    ),
)
