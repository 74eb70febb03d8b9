# MobileNetV3-like layers for two dense domains: images of PASCAL-Context and rooms of NYUD-v2, each
# with tasks of its own.
_base_ = './mobilenet_v2_pascal_context.py'

_heads = _base_.model.decode_heads
model = dict(
    backbone=dict(
        encoder=dict(
            _delete_=True,
            type='MobileNetV3PathEncoder',
            output_stride=16,
            context=dict(type='ContextModule', dilations=[1], channels=256),
        ),
    ),
    decode_heads=dict(
        _delete_=True,
        semseg=_heads.semseg,
        human_parts=_heads.human_parts,
        saliency=_heads.saliency,
        depth=dict(
            type='DeepLabV3PlusHead',
            channels=128,
            separable=True,
            num_classes=1,
            target_key='gt_depth',
            output='value',
            loss_decode=dict(type='DepthL1Loss', loss_weight=1.0),
        ),
        normals=_heads.normals,
        edge=dict(
            **{key: value for key, value in _heads.edge.items() if key != 'loss_decode'},
            loss_decode=dict(type='BalancedBCELoss', positive_weight=0.8, loss_weight=50.0),
        ),
    ),
)
