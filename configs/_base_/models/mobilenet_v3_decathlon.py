# MobileNetV3-like layers for the Visual Decathlon: the whole search space, 2e31 paths per domain.
_base_ = './mobilenet_v3_paths.py'

_classes = dict(
    imagenet12=1000,
    aircraft=100,
    cifar100=100,
    daimlerpedcls=2,
    dtd=47,
    gtsrb=43,
    omniglot=1623,
    svhn=10,
    ucf101=101,
    vgg_flowers=102,
)
model = dict(
    decode_heads={
        domain: dict(type='LabelHead', num_classes=number, target_key=f'gt_{domain}')
        for domain, number in _classes.items()
    },
)
