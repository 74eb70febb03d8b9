"""Checks that network, checkpoint and data sets number the classes of images alike."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError

SEARCHED_CLASSES = 'classes'
"""Key of ``source`` in the file of an architecture: the classes of the images searched on."""
_KEYS = {'classes': 'classes', 'category_ids': 'ids of classes'}


class ClassesHook(Hook):
    """Compare the classes of whole images before a training or a test begins.

    A label is a position in the list of a data set's classes. It means the same only where decoder,
    training images, other images and the checkpoint have the same list. Paths are trained on the
    classes that they were searched for, where their file names them. Tasks of other kinds are left
    alone: their maps have numbers of their own.

    Args:
        loaded_too: Whether the classes of a loaded checkpoint count, as in a test or a resumed
            training. Weights to begin from may be of other classes.
    """

    priority = 'VERY_HIGH'

    def __init__(self, loaded_too: bool) -> None:
        self.loaded_too = loaded_too
        self._known: dict[str, Any] = {}
        self._whose = ''

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember the classes that a checkpoint was trained on."""
        meta = (checkpoint.get('meta') or {}).get('dataset_meta')
        if self.loaded_too and isinstance(meta, Mapping):
            self._known, self._whose = dict(meta), 'the checkpoint'

    def before_train(self, runner: Runner) -> None:
        """Compare the training images with the network, and those of the validation with both."""
        loop = runner.train_loop
        trained = getattr(loop.dataloader.dataset, 'metainfo', {})
        self._check(runner, trained, 'train_dataloader')
        _check_searched(runner, trained)
        self._known, self._whose = trained, 'train_dataloader'
        if (loop := runner.val_loop) is not None:
            self._check(runner, getattr(loop.dataloader.dataset, 'metainfo', {}), 'val_dataloader')

    def before_test(self, runner: Runner) -> None:
        """Compare the images of a test with the network and its checkpoint."""
        meta = getattr(runner.test_loop.dataloader.dataset, 'metainfo', {})
        self._check(runner, meta, 'test_dataloader')

    def _check(self, runner: Runner, meta: Mapping[str, Any], place: str) -> None:
        """Compare the classes of a data set's images.

        Raises:
            InputError: They are others than the decoder's, or than those known so far.
        """
        heads = getattr(unwrapped(runner.model), 'decode_heads', {})
        kinds = meta.get('task_kinds') or {}
        for task in (task for task, kind in kinds.items() if kind == 'label'):
            own = _of(meta, 'classes', task)
            count = getattr(heads[task], 'num_classes', None) if task in heads else None
            if own is not None and count not in (None, len(own)):
                raise InputError(
                    f'model.decode_heads.{task}.num_classes {count}: the images of {place} have '
                    f'{len(own)} classes, {_brief(own)}; expected their number'
                )
            for key, what in _KEYS.items():
                found, known = _of(meta, key, task), _of(self._known, key, task)
                if None not in (found, known) and found != known:
                    raise InputError(
                        f'{place}: the {what} of {task} are {_brief(found)}, but {self._whose} has '
                        f'{_brief(known)}: expected the same in the same order'
                    )


def label_classes(meta: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the classes of each task whose labels are of whole images.

    Args:
        meta: The metainfo of a data set.
    """
    kinds = meta.get('task_kinds') or {}
    found = {task: _of(meta, 'classes', task) for task, kind in kinds.items() if kind == 'label'}
    return {task: classes for task, classes in found.items() if classes is not None}


def _check_searched(runner: Runner, meta: Mapping[str, Any]) -> None:
    """Compare the classes of the training images with those that the paths were searched for.

    Raises:
        InputError: They differ.
    """
    backbone = getattr(unwrapped(runner.model), 'backbone', None)
    source = getattr(getattr(backbone, 'architecture', None), 'source', None)
    searched = source.get(SEARCHED_CLASSES) if isinstance(source, Mapping) else None
    if not isinstance(searched, Mapping):
        return
    for task, own in label_classes(meta).items():
        if task in searched and searched[task] != own:
            raise InputError(
                f'train_dataloader: the classes of {task} are {_brief(own)}, but the architecture '
                f'was searched for {_brief(searched[task])}: expected the same in the same order, '
                f'or a file without source.{SEARCHED_CLASSES}'
            )


def _of(meta: Mapping[str, Any], key: str, task: str) -> Any:
    """Return a task's list, None where there is none."""
    by_task = meta.get(key)
    found = by_task.get(task) if isinstance(by_task, Mapping) else None
    return [*found] if isinstance(found, list | tuple) else None


def _brief(names: Any) -> str:
    """Write a list for a message, not all if they are many."""
    return f'{names}' if len(names) <= 6 else f'{names[:6]} and {len(names) - 6} more'
