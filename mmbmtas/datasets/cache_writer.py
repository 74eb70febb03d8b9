"""Write the training cache of a dataset: its labels decoded once, for each pipeline in use."""

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmcv.transforms import BaseTransform

from mmbmtas.errors import InputError
from mmbmtas.writing import remove_leftovers, written_beside

from .base import MultiTaskDataset
from .cache.opening import INDEX
from .cache.sample_file import read_header, write_sample
from .cache.steps import VERSION, is_fresh, sample_path, source_marks, step_names
from .nyudv2 import NYUDv2MT
from .parallel import run_parallel
from .pascal_context import PascalContextMT
from .transforms import (
    DeriveEdges,
    LoadNYUDv2Labels,
    LoadPascalContextLabels,
    LoadSampleImage,
    ResizeSample,
)

Split = Literal['train', 'val']


class Recipe(NamedTuple):
    """How a dataset is read, and what follows in each variant, of which every split has some."""

    loaders: tuple[BaseTransform, ...]
    variants: Mapping[str, tuple[BaseTransform, ...]]
    splits: Mapping[Split, tuple[str, ...]]

    def steps(self, variant: str) -> list[str]:
        """Names of all steps of a variant."""
        return step_names([*self.loaders, *self.variants[variant]])


RECIPES: dict[type[MultiTaskDataset], Recipe] = {
    PascalContextMT: Recipe(
        (LoadSampleImage(), LoadPascalContextLabels()),
        {
            'train': (DeriveEdges(),),
            'search': (ResizeSample(0.5), DeriveEdges()),
            'eval': (DeriveEdges(method='boundary', keep_label_map=True),),
        },
        {'train': ('train', 'search'), 'val': ('eval',)},
    ),
    NYUDv2MT: Recipe(
        (LoadSampleImage(), LoadNYUDv2Labels()),
        {'full': (), 'search': (ResizeSample(2 / 3),)},
        {'train': ('full', 'search'), 'val': ('full',)},
    ),
}
"""What is cached: the first steps of the pipelines in ``configs/_base_/datasets``."""


def find_recipe(dataset_type: type[MultiTaskDataset]) -> Recipe:
    """Find what is cached of a data set, or of the one that it derives from.

    Raises:
        InputError: Nothing is: the cache knows the first steps of no pipeline of it.
    """
    for kind in dataset_type.__mro__:
        if kind in RECIPES:
            return RECIPES[kind]
    known = ', '.join(kind.__name__ for kind in RECIPES)
    raise InputError(
        f'{dataset_type.__name__} cannot be cached: there are caches for {known} and classes '
        'derived from them. Trainings read the files of other data sets themselves'
    )


def write_cache(
    dataset_type: type[MultiTaskDataset],
    data_root: str | Path,
    cache: str | Path,
    jobs: int = 1,
    allow_missing_labels: bool = False,
) -> Counter[str]:
    """Write or complete the cache of a dataset, both splits.

    Files that fit the dataset as it is stay as they are, so that an interrupted run goes on where
    it stopped, and only what changed is made again. The index, without which the cache is not used,
    comes last.

    Args:
        dataset_type: :class:`PascalContextMT`, :class:`NYUDv2MT`, or a class derived from one.
        data_root: Folder of the dataset.
        cache: Folder of the cache; made if missing.
        jobs: Number of processes.
        allow_missing_labels: Whether images may lack labels of some tasks.

    Returns:
        Number of samples ``written``, ``kept`` and ``replaced`` (which were stale).

    Raises:
        FileNotFoundError: If files of the dataset are missing.
        ValueError: If one cannot be read, or the dataset has no cache.

    Example:
        >>> write_cache(NYUDv2MT, 'data/NYUD_MT', 'data/NYUD_MT.cache', jobs=4)  # doctest: +SKIP
        Counter({'written': 2244})
    """
    cache, recipe = Path(cache), find_recipe(dataset_type)
    index = {
        'dataset': dataset_type.__name__,
        'version': VERSION,
        'variants': {name: recipe.steps(name) for name in recipe.variants},
    }
    for name in recipe.variants:
        (cache / name).mkdir(parents=True, exist_ok=True)
        remove_leftovers(cache / name)
    tasks = [
        (split, sample)
        for split in recipe.splits
        for sample in dataset_type(
            str(data_root),
            split,
            lazy_init=True,
            cache=None,
            allow_missing_labels=allow_missing_labels,
        ).load_data_list()
    ]
    counts: Counter[str] = Counter()
    for outcomes in run_parallel(
        partial(_cache_image, cache, recipe), tasks, jobs, 'writing the cache'
    ):
        counts.update(outcomes)
    with written_beside(cache / INDEX) as beside:
        beside.write_text(json.dumps(index, indent=2) + '\n')
    return counts


def _cache_image(cache: Path, recipe: Recipe, task: tuple[Split, dict[str, Any]]) -> list[str]:
    """Write an image's samples that are missing or stale; say what became of each."""
    split, data_info = task
    marks = source_marks(data_info)
    variants = recipe.splits[split]
    paths = {name: sample_path(cache / name, data_info['img_id']) for name in variants}
    states = {name: _state(paths[name], recipe.steps(name), marks) for name in variants}
    due = [name for name, state in states.items() if state != 'kept']
    if due:
        loaded: dict[str, Any] = dict(data_info)
        for loader in recipe.loaders:
            loaded = loader(loaded)
    for name in due:
        results = {**loaded, 'label_keys': list(loaded['label_keys'])}
        for transform in recipe.variants[name]:
            results = transform(results)
        arrays = {key.removeprefix('gt_'): results[key] for key in results['label_keys']}
        if results['img'] is not loaded['img']:
            arrays['img'] = results['img']
        info = {'version': VERSION, 'steps': recipe.steps(name), 'sources': marks}
        info['ori_shape'] = list(results['ori_shape'])
        write_sample(paths[name], info, arrays)
    return list(states.values())


def _state(path: Path, steps: list[str], marks: dict[str, list[Any]]) -> str:
    """What is to become of a sample's file: ``kept``, ``replaced`` or ``written``."""
    try:
        fresh = is_fresh(read_header(path), steps, marks)
    except FileNotFoundError:
        return 'written'
    except ValueError:
        return 'replaced'
    return 'kept' if fresh else 'replaced'
