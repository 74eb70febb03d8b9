# MobileNetV3-like layers with a class for each image (MPNAS). search_*.py and paths_*.py put a
# supernet or a network of paths around the encoder, and name the decoders' classes.
model = dict(
    data_preprocessor=dict(
        type='mmbmtas.BatchPreprocessor',
        mean=[127.5] * 3,  # intensities to [-1, 1]
        std=[127.5] * 3,
        bgr_to_rgb=True,
    ),
    backbone=dict(encoder=dict(type='MobileNetV3PathEncoder')),
)
