"""Guards transforms of other libraries, which move the image without our labels.

mmcv's and mmseg's ``RandomFlip``, ``Resize``, ``RandomRotate`` and the like move ``img`` and
``gt_seg_map``, so that each ``gt_<task>`` would stay where it was, without a word.
"""

from typing import Any

from mmbmtas.errors import InputError

_LIBRARIES = {'mmcv', 'mmseg', 'mmpretrain', 'mmdet', 'mmdet3d', 'mmrotate', 'mmpose', 'mmagic'}
# What leaves every pixel where it is, and what only holds other transforms.
_HARMLESS = {
    'AdjustGamma',
    'AutoContrast',
    'BioMedicalGaussianBlur',
    'BioMedicalGaussianNoise',
    'BioMedicalRandomGamma',
    'Brightness',
    'CLAHE',
    'ColorJitter',
    'ColorTransform',
    'Compose',
    'Contrast',
    'Equalize',
    'GaussianBlur',
    'GenerateEdge',
    'ImageToTensor',
    'Invert',
    'KeyMapper',
    'Lighting',
    'Normalize',
    'PhotoMetricDistortion',
    'Posterize',
    'RGB2Gray',
    'RandomApply',
    'RandomChoice',
    'RandomCutOut',
    'RandomErasing',
    'RandomGrayscale',
    'Rerange',
    'Sharpness',
    'Solarize',
    'SolarizeAdd',
    'TestTimeAug',
    'ToTensor',
    'TransformBroadcaster',
    'YOLOXHSVRandomAug',
}
_OURS = {
    'Flip': 'RandomFlipSample',
    'Crop': 'RandomCropSample (with PadToSize before it)',
    'Pad': 'PadToSize',
    'Resize': 'RandomScale or ResizeSample',
    'Scale': 'RandomScale or ResizeSample',
}


class ImageAlone:
    """A transform that moves only the image, allowed for samples without label maps.

    Args:
        transform: Of another library.

    Raises:
        ValueError: When called with a sample that has labels.
    """

    def __init__(self, transform: Any) -> None:
        self.inner = transform

    def __call__(self, results: dict) -> dict | None:
        """Transform a sample without labels."""
        return self.transform(results)

    def transform(self, results: dict) -> dict | None:
        """Transform a sample without labels."""
        kinds = results.get('task_kinds') or {}  # the class of a whole image stays as it is
        keys = [k for k in results.get('label_keys', ()) if kinds.get(k[len('gt_') :]) != 'label']
        keys += [k for k in ('label_map',) if k in results]
        if keys:
            kind, own = _written_as(type(self.inner)), type(self.inner).__name__
            name = f'{kind.__module__.partition(".")[0]}.{kind.__name__}'
            ours = next((ours for word, ours in _OURS.items() if word in name), None)
            instead = f'use {ours}' if ours else 'use transforms of mmbmtas, which move both'
            alias = '' if own == kind.__name__ else f' (as {own})'
            raise InputError(
                f'{results.get("img_path")}: {name} in the pipeline{alias} would move the image '
                f'and leave its labels ({", ".join(keys)}) where they are; {instead}. In '
                'evaluation, the transform may come before the one that reads the labels'
            )
        return self.inner(results)

    def __repr__(self) -> str:
        return repr(self.inner)


def keep_labels_in_place(transform: Any) -> Any:
    """Guard a transform, and those within it, against moving the image alone.

    Args:
        transform: What a registry has built.

    Returns:
        The transform itself; an :class:`ImageAlone` of it if it is of a library that knows no label
        of ours, and is not known to leave pixels where they are.
    """
    kind = _written_as(type(transform))
    if kind.__module__.partition('.')[0] in _LIBRARIES and not (
        kind.__name__ in _HARMLESS or kind.__name__.startswith(('Load', 'Pack'))
    ):
        return ImageAlone(transform)
    for name in ('transforms', 'subroutines'):  # of wrappers: lists of transforms, or one that has
        inside = getattr(transform, name, None)
        if isinstance(inside, list):
            inside[:] = [keep_labels_in_place(step) for step in inside]
        elif inside is not None and inside is not transform:
            keep_labels_in_place(inside)
    return transform


def _written_as(kind: type) -> type:
    """The class that says what a transform does; one with settings of its own alone does not."""
    settings = {'__init__', '__repr__'}
    return next(
        c for c in kind.__mro__ if any(callable(v) for k, v in vars(c).items() if k not in settings)
    )
