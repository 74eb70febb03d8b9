"""Stack pictures of a run, such as a tree and its predictions."""

import os
from collections.abc import Sequence

from PIL import Image

from mmbmtas.writing import written_beside

_GAP = 12


def stack_pictures(
    paths: Sequence[str | os.PathLike], out: str | os.PathLike, width: int = 1200
) -> None:
    """Write pictures below one another, each scaled to the same width.

    Args:
        paths: The pictures, first at the top.
        out: File to write, a ``.png``.
        width: Width of the result in pixels.
    """
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            size = (width, round(picture.height * width / picture.width))
            pictures.append(picture.convert('RGB').resize(size, Image.Resampling.LANCZOS))
    total = sum(picture.height for picture in pictures) + _GAP * (len(pictures) - 1)
    stack = Image.new('RGB', (width, total), 'white')
    top = 0
    for picture in pictures:
        stack.paste(picture, (0, top))
        top += picture.height + _GAP
    with written_beside(out) as beside:
        stack.save(beside, optimize=True)
