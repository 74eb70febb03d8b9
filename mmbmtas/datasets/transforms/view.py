"""Views of an image for test-time augmentation: another scale, mirrored or not."""

from typing import Any

import mmcv
from mmcv.transforms import BaseTransform

from mmbmtas.registry import TRANSFORMS
from mmbmtas.structures.values import require_positive, require_switch

from .geometry import scaled_size


@TRANSFORMS.register_module()
class ViewImage(BaseTransform):
    """Scale and mirror the image alone; labels stay as they are.

    Within ``mmcv.TestTimeAug``, one for each view. ``MultiTaskTTAModel`` brings the predictions
    back to the image as it was.

    Args:
        scale_factor: New size over old size, above 0.
        flip: Whether the image is mirrored left to right.

    Raises:
        InputError: The factor is no number above 0, or ``flip`` no truth value.
    """

    def __init__(self, scale_factor: float = 1.0, flip: bool = False) -> None:
        self.scale_factor = require_positive('scale_factor of ViewImage', scale_factor, most=16)
        self.flip = require_switch('flip of ViewImage', flip)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Scale and mirror ``img``; add ``scale_factor``, ``flip`` and the labels' shape."""
        image = results['img']
        results.setdefault('label_shape', image.shape[:2])
        if self.scale_factor != 1:
            image = mmcv.imresize(image, scaled_size(results, self.scale_factor))
        results['img'] = image[:, ::-1] if self.flip else image
        results['img_shape'] = image.shape[:2]
        results['scale_factor'] = self.scale_factor
        results['flip'] = self.flip
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale_factor={self.scale_factor}, flip={self.flip})'
