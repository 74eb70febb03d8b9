"""Hooks that log the architecture during the search, and write the tree to a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from mmbmtas.registry import HOOKS
from mmbmtas.structures import RoutedArchitecture
from mmbmtas.structures.values import require_count
from mmbmtas.visualization.architecture import architecture_image
from mmbmtas.writing import remove_leftovers

from .classes_hook import SEARCHED_CLASSES, label_classes
from .searched import search_loop_of


def routing_entropy(probs: Tensor) -> Tensor:
    """Return the mean entropy of routing probabilities ``(L, T, C)``, as a share of the largest.

    1 is uniform, 0 is decided; with a single candidate it is 0.
    """
    entropy = torch.special.entr(probs).sum(dim=-1).mean()
    return entropy / max(torch.tensor(probs.shape[-1]).log().item(), 1e-12)


@HOOKS.register_module()
class ArchitectureLoggerHook(Hook):
    """Log the state of the architecture distribution.

    To the log: ``entropy`` of the routing probabilities (1 uniform, 0 decided), and what the loop
    measures. Of a tree that is ``expected_gmadds`` and ``argmax_gmadds``, the multiply-adds in 10^9
    of the whole network in expectation and of the tree that would be exported now; beyond 16 tasks
    the expectation is an estimate. Where the resource loss has a latency table, also
    ``expected_latency_ms`` and ``argmax_latency_ms``, the same by that table (an estimate beyond 10
    tasks). Of paths see :meth:`PathSearchLoop.measured`. To the visualisation backends also every
    probability, as ``arch/layer<l>/<task>/candidate<c>``; of paths ``<task>`` is the domain.

    The last iteration is always an entry, and a line of its own says its values.

    Args:
        interval: Iterations between two entries; by default that of the logger, so that each line
            of the log has values of its iteration.

    Raises:
        InputError: ``interval`` is no whole number above 0.

    Example:
        >>> custom_hooks = [dict(type='ArchitectureLoggerHook')]
    """

    def __init__(self, interval: int | None = None) -> None:
        if interval is not None:
            require_count('interval of ArchitectureLoggerHook', interval)
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Take the logger's interval unless another is stated."""
        loggers = (hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook))
        self._every = self.interval or next(loggers, 50)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log if the interval has come round."""
        if self.every_n_train_iters(runner, self._every):
            self._log(runner)

    def after_train(self, runner: Runner) -> None:
        """Log the result of the search."""
        values = self._log(runner)
        words = ', '.join(f'{name} {value:.4g}' for name, value in values.items())
        runner.logger.info(f'At the end of the search: {words}')

    @torch.no_grad()
    def _log(self, runner: Runner) -> dict[str, float]:
        """Log the current distribution; return what the log gets."""
        loop = search_loop_of(runner, self)
        probs = loop.model.backbone.routing_probs()
        architecture = loop.export_architecture()
        values = {'entropy': float(routing_entropy(probs)), **loop.measured(architecture)}
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/{name}', value)
        runner.visualizer.add_scalars(
            {
                f'arch/layer{layer:02d}/{task}/candidate{candidate}': float(value)
                for layer, rows in enumerate(probs.cpu())
                for task, row in zip(architecture.tasks, rows, strict=True)
                for candidate, value in enumerate(row)
            },
            step=min(runner.iter + 1, runner.max_iters),
        )
        return values


@HOOKS.register_module()
class ArchitectureExportHook(Hook):
    """Write the architecture that the search has found with every checkpoint, and last.

    ``<work_dir>/architecture.json`` is always the latest,
    ``<work_dir>/architectures/iter_<n>.json`` the one of each checkpoint; the checkpoint's meta
    has it as ``architecture``. ``source.classes`` are the classes of whole images that were
    searched on; a training of the architecture refuses others. The visualisation backends get a
    picture of each. Where the budget is missed, ``source.budget_missed`` in the file says by how
    much; a comparison reports that.

    Example:
        >>> custom_hooks = [dict(type='ArchitectureExportHook')]
    """

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Remove incomplete files that a killed run has left."""
        remove_leftovers(Path(runner.work_dir) / 'architectures')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write that of the checkpoint; mmengine calls this on the main process only."""
        architecture = self._write(runner, checkpoint['meta']['iter'])
        checkpoint['meta']['architecture'] = architecture.to_dict()

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Write the architecture that the search has ended in, and log it."""
        architecture = self._write(runner, runner.iter)
        runner.logger.info(
            f'Searched architecture: {architecture.describe()}; '
            f'{search_loop_of(runner, self).describe_cost(architecture)}. '
            f'Written to {Path(runner.work_dir) / "architecture.json"}'
        )
        if warning := search_loop_of(runner, self).describe_miss(architecture):
            runner.logger.warning(warning)

    def _write(self, runner: Runner, iteration: int) -> RoutedArchitecture:
        """Write both files; return the architecture."""
        loop = search_loop_of(runner, self)
        source = {
            'config': Path(runner.cfg.filename).name if runner.cfg.filename else None,
            'iteration': iteration,
            'seed': runner.seed,
        }
        if classes := label_classes(getattr(loop.dataloader.dataset, 'metainfo', {})):
            source[SEARCHED_CLASSES] = classes
        architecture = loop.export_architecture(source)
        found = architecture.source
        if isinstance(found, dict) and (warning := loop.describe_miss(architecture)):
            architecture = replace(architecture, source={**found, 'budget_missed': warning})
        directory = Path(runner.work_dir)
        (directory / 'architectures').mkdir(parents=True, exist_ok=True)
        architecture.save(directory / 'architectures' / f'iter_{iteration}.json')
        architecture.save(directory / 'architecture.json')
        runner.visualizer.add_image('architecture', architecture_image(architecture), iteration)
        return architecture
