"""One domain of the Visual Decathlon, or of any data set in the same layout."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from mmengine.dataset import BaseDataset

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.foreign import keep_labels_in_place
from mmbmtas.registry import DATASETS, TRANSFORMS
from mmbmtas.structures.values import filled_in_from, require_text

from .decathlon_files import Annotations, read_annotations
from .listing import Listing

Part = Literal['train', 'val', 'test']


@DATASETS.register_module()
class VisualDecathlon(BaseDataset):
    """Images of one domain, each of one class.

    ``data_root`` holds ``annotations/<domain>_{train,val}.json``, ``<domain>_test_stripped.json``,
    which has no classes, and the images in ``data/<domain>/``. All files are looked for when the
    data set is opened.

    A sample has the image's class as ``gt_<task>``, its position in the file's categories, and the
    domain's name. Names are identifiers: the task and the domain of ``vgg-flowers`` are called
    ``vgg_flowers``.

    Args:
        data_root: Folder of the data set.
        domain: Which domain.
        split: ``train``, ``val`` or ``test``.
        name: Name of the task and of the domain in the network; default the domain's own.
        pipeline: Transforms of a sample, configs or callables.
        metainfo: Entries that replace those of the data set.
        **options: See :class:`mmengine.dataset.BaseDataset`.

    Raises:
        InputError: The annotations are wrong, have no classes though ``split`` is none for the
            test, or an option has another type than expected.
        MissingFileError: The annotations or images are missing.

    Example:
        .. code-block:: python

            dataset = dict(type='VisualDecathlon', data_root='data/decathlon', domain='dtd')
    """

    METAINFO = {'dataset_type': 'VisualDecathlon'}  # noqa: RUF012

    @filled_in_from('data_root', 'dataset.data_root')
    def __init__(
        self,
        data_root: str,
        domain: str,
        split: Part = 'train',
        name: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if split not in get_args(Part):
            raise InputError(
                f'split {split!r} of VisualDecathlon: expected one of {get_args(Part)}'
            )
        require_text('domain of VisualDecathlon', domain)
        self.split = split
        self.files = domain
        self.domain = (domain if name is None else name).replace('-', '_')
        if not self.domain.isidentifier():
            raise InputError(f'name {self.domain!r} of VisualDecathlon: expected an identifier')
        ending = 'test_stripped' if split == 'test' else split
        self.annotations_file = Path(data_root, 'annotations', f'{domain}_{ending}.json')
        self.annotations: Annotations = read_annotations(self.annotations_file)
        if split != 'test' and self.annotations.images[0].label is None:
            raise InputError(
                f'{self.annotations_file} has no annotations, as files of a test have none: '
                f'expected the class of each image of the {split} split'
            )
        super().__init__(
            data_root=str(data_root),
            data_prefix={},
            metainfo={
                'tasks': (self.domain,),
                'classes': {self.domain: self.annotations.classes},
                'category_ids': {self.domain: self.annotations.category_ids},
                'task_kinds': {self.domain: 'label'},
                **(metainfo or {}),
            },
            pipeline=[
                TRANSFORMS.build(t) if isinstance(t, Mapping) else keep_labels_in_place(t)
                for t in pipeline
            ],
            **options,
        )
        self._metainfo['domain'] = self.domain  # mmengine would look for a file of this name

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the samples, and look for their images.

        Raises:
            MissingFileError: Images are missing; names the first, and how many.
        """
        images = self.annotations.images
        listing = Listing(self.data_root)
        missing = [image.file_name for image in images if image.file_name not in listing]
        if missing:
            raise MissingFileError(
                f'{len(missing)} of {len(images)} images of {self.annotations_file} are missing, '
                f'the first is {Path(self.data_root, missing[0])}'
            )
        key = f'gt_{self.domain}'
        return [
            {
                'img_path': str(Path(self.data_root, image.file_name)),
                'img_id': image.image_id,
                'domain': self.domain,
                'tasks': (self.domain,),
                'task_kinds': {self.domain: 'label'},
                **({} if image.label is None else {key: image.label}),
                'label_keys': [] if image.label is None else [key],
            }
            for image in images
        ]
