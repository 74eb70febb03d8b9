# Five narrow layers with 8 candidates each, for the pocket domains on two CPU cores. In 300
# iterations, more layers learn less. No layer can be left out, because each one changes the stride
# or the width. With the usual output stride of 32, images of 32 pixels would end in a single place;
# with 8 they end in 4 x 4 places.
_base_ = './mobilenet_v3_paths.py'

_classes = dict(digits=10, faces=2, textures=10, glyphs=47, solids=6)
model = dict(
    backbone=dict(
        encoder=dict(
            widen_factor=0.5,
            kernels=(3, 5),
            expansions=(2, 4),
            per_block=1,
            output_stride=8,
            context_channels=128,
        ),
    ),
    decode_heads={
        domain: dict(type='LabelHead', num_classes=number, target_key=f'gt_{domain}', channels=128)
        for domain, number in _classes.items()
    },
)
