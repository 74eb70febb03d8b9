"""Write the training cache of a dataset: its labels decoded once, for each pipeline in use."""

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mmcv.transforms import BaseTransform

from mmbmtas.errors import InputError
from mmbmtas.writing import remove_leftovers, written_beside

from .base import MultiTaskDataset
from .cache.opening import INDEX
from .cache.sample_file import read_header, write_sample
from .cache.steps import VERSION, is_fresh, sample_path, source_marks, step_name
from .parallel import run_parallel
from .release import SPLITS, Split


class Recipe(NamedTuple):
    """How a dataset is read, and what follows in each variant, of which every split has some."""

    loaders: tuple[BaseTransform, ...]
    variants: Mapping[str, tuple[BaseTransform, ...]]
    splits: Mapping[Split, tuple[str, ...]]

    def steps(self, variant: str) -> list[str]:
        """Names of all steps of a variant."""
        return [step_name(step) for step in (*self.loaders, *self.variants[variant])]


def find_recipe(dataset: MultiTaskDataset | type[MultiTaskDataset]) -> Recipe:
    """Build what is cached of a data set.

    Raises:
        InputError: Nothing is: its ``RELEASE`` names no cached steps. Or a step's settings have no
            text, so that it cannot be recognised.
    """
    name = (dataset if isinstance(dataset, type) else type(dataset)).__name__
    release = dataset.RELEASE
    if release is None or not release.cached:
        raise InputError(
            f'{name} cannot be cached: it must name the first steps of its pipelines in RELEASE, '
            "for example Release(label_loader=..., cached={'full': CachedSteps()}). Trainings read "
            'its files themselves'
        )
    recipe = Recipe(
        release.build_loaders(),
        {variant: cached.build() for variant, cached in release.cached.items()},
        {
            split: tuple(v for v, cached in release.cached.items() if split in cached.splits)
            for split in SPLITS
        },
    )
    for variant in recipe.variants:
        for step in recipe.steps(variant):
            if ' at 0x' in step:
                raise InputError(
                    f'{name} cannot be cached: the settings of the step {step} cannot be written '
                    'as text; give its class a __repr__ that shows them'
                )
    return recipe


def write_cache(
    dataset_type: type[MultiTaskDataset],
    data_root: str | Path,
    cache: str | Path,
    jobs: int = 1,
    allow_missing_labels: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Counter[str]:
    """Write or complete the cache of a dataset, both splits.

    Files that fit the dataset as it is stay as they are, so that an interrupted run goes on where
    it stopped, and only what changed is made again. The index, without which the cache is not used,
    comes last.

    Args:
        dataset_type: The class that reads it; its ``RELEASE`` says what is cached.
        data_root: Folder of the dataset.
        cache: Folder of the cache; made if missing.
        jobs: Number of processes.
        allow_missing_labels: Whether images may lack labels of some tasks.
        options: Further arguments of the class.

    Returns:
        Number of samples ``written``, ``kept`` and ``replaced`` (which were stale).

    Raises:
        FileNotFoundError: If files of the dataset are missing.
        ValueError: If one cannot be read, or the dataset has no cache.

    Example:
        >>> write_cache(NYUDv2MT, 'data/NYUD_MT', 'data/NYUD_MT.cache', jobs=4)  # doctest: +SKIP
        Counter({'written': 2244})
    """
    cache = Path(cache)
    datasets = [
        dataset_type(
            str(data_root),
            split=split,
            lazy_init=True,
            cache=None,
            allow_missing_labels=allow_missing_labels,
            **(options or {}),
        )
        for split in SPLITS
    ]
    recipe = find_recipe(datasets[0])
    index = {
        'dataset': dataset_type.__name__,
        'version': VERSION,
        'variants': {name: recipe.steps(name) for name in recipe.variants},
    }
    for name in recipe.variants:
        (cache / name).mkdir(parents=True, exist_ok=True)
        remove_leftovers(cache / name)
    tasks = [(dataset.split, sample) for dataset in datasets for sample in dataset.load_data_list()]
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
        if 'label_keys' not in loaded:
            raise InputError(
                f'{type(recipe.loaders[-1]).__name__} names no labels of {data_info["img_path"]} '
                "in results['label_keys']"
            )
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
    """Say what becomes of a sample's file: ``kept``, ``replaced`` or ``written``."""
    try:
        fresh = is_fresh(read_header(path), steps, marks)
    except FileNotFoundError:
        return 'written'
    except ValueError:
        return 'replaced'
    return 'kept' if fresh else 'replaced'
