"""Colours of class maps, shared by datasets (their metainfo) and visualization."""


def class_palette(num_classes: int) -> list[tuple[int, int, int]]:
    """Colours that spread the bits of the class index over the channels.

    The rule of PASCAL VOC: bits 0, 3, 6 of the index become red's highest bits, bits 1, 4, 7
    green's, bits 2, 5 blue's, so that near indices get far colours and class 0 is black.

    Args:
        num_classes: Number of colours, at most 256.

    Returns:
        RGB colours, 0 to 255, one a class.

    Example:
        >>> class_palette(3)
        [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    """
    return [
        tuple(  # type: ignore[misc]
            sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3))
            for channel in range(3)
        )
        for index in range(num_classes)
    ]


PARTS_PALETTE: list[tuple[int, int, int]] = [
    (0, 0, 0),
    (230, 75, 53),
    (77, 187, 213),
    (0, 160, 135),
    (145, 209, 90),
    (155, 110, 200),
    (243, 190, 80),
]
"""Background and the six human parts, kept apart in hue and lightness."""
