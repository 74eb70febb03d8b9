"""Checkpoints that survive any kind of interruption."""

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as _CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from mmbmtas.checkpoints import to_plain
from mmbmtas.engine.checkpoint_files import WHOLE_FILES
from mmbmtas.errors import InputError
from mmbmtas.registry import HOOKS
from mmbmtas.writing import remove_leftovers, written_beside

from .best_metrics import check_names, directions, is_named, metric_names, validates

OPTIMIZERS = 'optimizers'
"""Entry of a checkpoint's ``meta``: the class of each optimiser by its name, '' of a single one."""


@HOOKS.register_module()
class CheckpointHook(_CheckpointHook):
    """mmengine's hook, with files that are whole at any moment the run may be killed.

    Checkpoints hold plain values only, so that they are read without unpickling anything else. One
    is written beside its place and gets its name when it is complete; so does the file
    ``last_checkpoint``. Outdated checkpoints, and best ones that were surpassed, are removed after
    that, not before as in mmengine, so the disk must hold one more than ``max_keep_ckpts``.

    Args:
        args: As mmengine's.
        kwargs: As mmengine's. With ``out_dir`` in a remote storage, or other ``backend_args`` than
            the default, files are written as that storage does it.

    Example:
        >>> default_hooks = dict(
        ...     checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000))
    """

    backend_args: dict[str, Any] | None
    save_best: list[str] | None
    _knows_metrics = False

    def _init_rule(self, rules: list[str | None], key_indicators: list[str]) -> None:
        """Settle the rules; those that only the metrics know wait for :meth:`before_run`."""
        self._stated_rules = rules
        unknown = {*rules} - {None, *self.rule_map}
        if unknown:
            raise InputError(f'rule = {unknown.pop()!r}: expected one of {[*self.rule_map]}')
        try:
            super()._init_rule(rules, key_indicators)
        except ValueError as error:
            if self._knows_metrics:
                raise InputError(f'{error} Name one: rule="greater" or rule="less"') from error
            self.rules, self.key_indicators = rules, key_indicators

    def before_run(self, runner: Runner) -> None:
        """Check that ``save_best`` names existing metrics, and find their directions.

        A metric's own direction counts where ``rule``, ``greater_keys`` and ``less_keys`` state
        none.

        Raises:
            ValueError: There is no such metric, its direction is not known, or the training cannot
                come to a validation.
        """
        if not self.save_best or not validates(runner):
            return
        evaluator = runner.val_loop.evaluator
        names = metric_names(evaluator)
        stated = [
            key
            for key in (*self.greater_keys, *self.less_keys)
            if key not in (*self._default_greater_keys, *self._default_less_keys)
        ]
        if names is not None:
            if self.save_best == ['auto']:
                self.save_best = names[:1]
            check_names('save_best', self.save_best, names, exact=True)
            check_names('greater_keys or less_keys', stated, names, exact=False)
        for key, rule in directions(evaluator).items():
            if not is_named(stated, key):
                own = f'{rule}_keys'
                setattr(self, own, [*getattr(self, own), key])
        self._knows_metrics = True
        self._init_rule(self._stated_rules, self.save_best)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._left_out: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Prepare the folder; remove what killed runs left there."""
        self._forget_other_best(runner)
        super().before_train(runner)
        is_local = type(self.file_backend) is LocalBackend
        if is_local and self.file_client_args is None and self.backend_args is None:
            self.backend_args = {'backend': WHOLE_FILES}
            if is_main_process():
                remove_leftovers(Path(str(self.out_dir)))
                remove_leftovers(Path(runner.work_dir))

    def _forget_other_best(self, runner: Runner) -> None:
        """Drop the best score of a resumed run that was one of other metrics."""
        hub = runner.message_hub
        before = hub.runtime_info.get('save_best', self.save_best)
        hub.update_info('save_best', self.save_best)
        if before == self.save_best:
            return
        for name in [*hub.runtime_info]:
            if name.startswith(('best_score', 'best_ckpt')):
                hub.runtime_info.pop(name)
        runner.logger.warning(
            f'The best checkpoint so far was chosen by save_best = {before}. It is kept; from now '
            f'on the best checkpoint by {self.save_best} is kept, too.'
        )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep only what can be read back without running code; log what is left out.

        The optimisers' kinds are added, which a resumed training compares with its own.
        """
        if 'optimizer' in checkpoint:
            checkpoint['meta'][OPTIMIZERS] = _kinds(runner.optim_wrapper)
        plain, left_out = to_plain(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)
        for entry in left_out:
            if entry not in self._left_out:
                self._left_out.append(entry)
                runner.logger.warning(
                    f'Checkpoints are written without {entry}: they hold tensors, numbers, texts, '
                    'lists and dicts only, and a resumed run starts without anything else.'
                )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Write a checkpoint, then remove the one that it replaces."""
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = [self.keep_ckpt_ids.popleft()]
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', [*self.keep_ckpt_ids])
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            with written_beside(Path(runner.work_dir) / 'last_checkpoint') as beside:
                beside.write_text(self.last_ckpt)
            for path in map(self._path, outdated):
                self._remove(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Write the best checkpoint so far, then remove the one that it surpasses."""
        if not self.save_best:
            return
        before = self._best
        self._best = [None] * len(before)  # mmengine would remove what it finds here, first
        super()._save_best_checkpoint(runner, metrics)
        pairs = [*zip(before, self._best, strict=True)]
        self._best = [new or old for old, new in pairs]
        if is_main_process():
            for old, new in pairs:
                if old and new and old != new:
                    self._remove(old)

    @property
    def _best(self) -> list[str | None]:
        """The best checkpoint so far by each of ``key_indicators``."""
        if len(self.key_indicators) == 1:
            return [self.best_ckpt_path]
        return [self.best_ckpt_path_dict[key] for key in self.key_indicators]

    @_best.setter
    def _best(self, paths: list[str | None]) -> None:
        if len(self.key_indicators) == 1:
            (self.best_ckpt_path,) = paths
        else:
            self.best_ckpt_path_dict = dict(zip(self.key_indicators, paths, strict=True))

    def _remove(self, path: str) -> None:
        """Remove a checkpoint, if it is there."""
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):  # as DeepSpeed writes them
            self.file_backend.rmtree(path)

    def _path(self, step: int) -> str:
        """Return where the checkpoint of a step lies."""
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))


def _kinds(wrapper: Any) -> dict[str, str]:
    """Name the class of each optimiser."""
    wrappers = dict(wrapper.items()) if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}
    return {name: type(one.optimizer).__name__ for name, one in wrappers.items()}
