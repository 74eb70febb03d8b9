# MobileNetV2 with a decoder for each task of NYUD-v2, with the paper's loss weights.
_base_ = './mobilenet_v2.py'

model = dict(
    decode_heads=dict(
        semseg=dict(
            **_base_._head,
            num_classes=40,
            target_key='gt_semseg',
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True, loss_weight=1.0),
        ),
        depth=dict(
            **_base_._head,
            num_classes=1,
            target_key='gt_depth',
            output='value',
            loss_decode=dict(type='DepthL1Loss', loss_weight=1.0),
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
            loss_decode=dict(type='BalancedBCELoss', positive_weight=0.8, loss_weight=50.0),
        ),
    ),
)
