"""Ends a training at its first batch if a task has no labels, instead of learning nothing.

Single images and batches may have no label of a task. If no image of the training set has one, the
config is wrong: no transform makes the ``target_key``, or the pipeline does not pack it.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmbmtas.engine.randomness import Stream, seeded
from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError

_LEAST_DRAWS = 64  # of samples: a random crop may miss a label


def require_labels(
    data_batches: Iterable[Any], model: Any, dataset: Any, seed: int
) -> Iterator[Any]:
    """Yield batches, after a check that each task of the network has labels to learn from.

    The first batch usually shows it. If it has no label of a task, the training set is searched.
    If samples list their label files, one sample of each kind shows whether the label exists at
    all; only all of them show whether any of its pixels is valid. All ranks decide together.

    Args:
        data_batches: Batches of the loader, None for those that a resumed run has already had.
        model: The network; only multi-task networks are checked.
        dataset: The training set.
        seed: The seed of the run.

    Raises:
        ValueError: A task has no label in the whole training set; the message names its
            ``target_key`` and the labels that exist.
    """
    data_batches = iter(data_batches)
    for data_batch in data_batches:
        if data_batch is not None:
            _check(data_batch, unwrapped(model), dataset, seed)
            yield data_batch
            break
        yield None
    yield from data_batches


def _check(data_batch: Any, model: Any, dataset: Any, seed: int) -> None:
    """Check the first batch, and search the training set for labels that it does not have."""
    if not hasattr(model, 'labelled_tasks'):
        return
    samples = data_batch.get('data_samples') or [] if isinstance(data_batch, dict) else []
    labelled = model.labelled_tasks(samples)
    missing = {task: model.decode_heads[task] for task in model.tasks if task not in labelled}
    if not missing:
        return
    print_log(
        f'The first batch has no label of {", ".join(missing)}: looking for one in the training '
        'set',
        logger='current',
    )
    search = _Search(dataset, seed)
    # Every rank looks through the same images; what any of them finds counts for all.
    labelled = model.labelled_tasks(search.find(missing))
    lost = {task: _key(task, head) for task, head in missing.items() if task not in labelled}
    if lost:
        raise InputError(search.fault(lost))


class _Search:
    """Looks for labels in a training set.

    Args:
        dataset: The training set.
        seed: Seed of the samples' random draws.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed
        self.keys: set[str] = set()  # labels that samples were seen to have

    def find(self, heads: dict[str, Any]) -> list[Any]:
        """Return samples that together have a valid label of each task, as far as images have one.

        Args:
            heads: The decoders, by task.
        """
        left, found = dict(heads), []
        kinds = _one_of_each_kind(self.dataset)
        order = np.random.default_rng(self.seed).permutation(len(self.dataset)).tolist()
        repeats = -(-_LEAST_DRAWS // max(len(order), 1))
        for number, index in enumerate([*(kinds or ()), *order * repeats]):
            if kinds and number == len(kinds):  # a label that no kind has, no sample has
                left = {task: head for task, head in left.items() if _key(task, head) in self.keys}
            if not left:
                break
            sample = self._draw(number, index)
            done = [task for task, head in left.items() if head.is_labelled([sample])]
            for task in done:
                del left[task]
            if done:
                found.append(sample)
        return found

    def _draw(self, number: int, index: int) -> Any:
        """Load a sample without disturbing the random state."""
        with seeded(self.seed, Stream.LABELS, number):
            content = self.dataset[index]
        sample = content.get('data_samples', {}) if isinstance(content, dict) else {}
        self.keys |= {key for key in sample.keys() if key.startswith('gt_')}  # noqa: SIM118
        return sample

    def fault(self, lost: dict[str, str]) -> str:
        """Say what is wrong with tasks for which no label was found.

        Args:
            lost: The ``target_key`` of each.
        """
        absent = {task: key for task, key in lost.items() if key not in self.keys}
        where = ', '.join(
            f'model.decode_heads.{task}.target_key {key!r}'
            for task, key in (absent or lost).items()
        )
        if absent:
            return (
                f'{where}: none of the {len(self.dataset)} training images has this label; they '
                f'have {", ".join(sorted(self.keys)) or "none at all"}. A transform that reads '
                'labels lists them in label_keys, and PackMultiTaskInputs packs those'
            )
        return (
            f'{where}: none of the {len(self.dataset)} training images has a valid pixel of this '
            f'label, all are ignored; correct the labels, or leave {", ".join(lost)} out of tasks'
        )


def _key(task: str, head: Any) -> str:
    return getattr(head, 'target_key', f'gt_{task}')


def _one_of_each_kind(dataset: Any) -> list[int] | None:
    """Find one sample of each folder and set of label files; None if samples list no files."""
    if not hasattr(dataset, 'get_data_info'):
        return None
    kinds: dict[Any, int] = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if 'label_paths' not in info or 'tasks' not in info:
            return None
        folder = os.path.dirname(info.get('img_path') or '')
        kinds.setdefault((folder, *sorted(info['label_paths']), *info['tasks']), index)
    return [*kinds.values()]
