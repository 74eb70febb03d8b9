"""Watching the architecture while it is searched, and writing down the tree."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from mmbmtas.cost import (
    MAX_TASKS,
    MAX_TASKS_COUNTED,
    LatencyTable,
    expected_cost,
    expected_madds,
    sampled_expected_cost,
    sampled_expected_madds,
)
from mmbmtas.registry import HOOKS
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.values import require_count
from mmbmtas.visualization.tree import tree_image
from mmbmtas.writing import remove_leftovers

from .searched import search_loop_of


def routing_entropy(probs: Tensor) -> Tensor:
    """Return the mean entropy of routing probabilities ``(L, T, C)``, as a share of the largest.

    1 is uniform, 0 is decided; with a single candidate it is 0.
    """
    entropy = torch.special.entr(probs).sum(dim=-1).mean()
    return entropy / max(torch.tensor(probs.shape[-1]).log().item(), 1e-12)


def _expected_madds(probs: Tensor, layer_madds: Tensor) -> float:
    """Return the expected cost, of too many tasks its estimate, without touching torch's noise."""
    probs = probs.detach().double().cpu()
    if probs.shape[1] <= MAX_TASKS:
        return float(expected_madds(probs, layer_madds))
    generator = torch.Generator().manual_seed(0)
    return float(sampled_expected_madds(probs, layer_madds, 16, generator))


def _expected_latency(probs: Tensor, table: LatencyTable) -> float:
    """Return the expected milliseconds of a whole network, as :func:`_expected_madds` does."""
    probs = probs.detach().double().cpu()
    if probs.shape[1] <= MAX_TASKS_COUNTED:
        return float(expected_cost(probs, table.layers_ms)) + table.fixed_ms
    generator = torch.Generator().manual_seed(0)
    expected = sampled_expected_cost(probs, table.layers_ms, generator=generator)
    return float(expected) + table.fixed_ms


@HOOKS.register_module()
class ArchitectureLoggerHook(Hook):
    """Log what the architecture distribution looks like.

    To the log: ``entropy`` of the routing probabilities (1 uniform, 0 decided), ``expected_gmadds``
    and ``argmax_gmadds``, the multiply-adds in 10^9 of the whole network in expectation and of the
    tree that would be exported now; beyond 16 tasks the expectation is an estimate. Where the
    resource loss has a latency table, also ``expected_latency_ms`` and ``argmax_latency_ms``, the
    same by that table (an estimate beyond 10 tasks). To the visualisation backends also every
    probability, as ``arch/layer<l>/<task>/candidate<c>``.

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
        """Log what the search has ended with."""
        values = self._log(runner)
        words = ', '.join(f'{name} {value:.4g}' for name, value in values.items())
        runner.logger.info(f'At the end of the search: {words}')

    @torch.no_grad()
    def _log(self, runner: Runner) -> dict[str, float]:
        """Log the current distribution; return what the log gets."""
        model = search_loop_of(runner, self).model
        probs = model.backbone.routing_probs()
        layer_madds = torch.tensor(model.network_cost.layer_madds, dtype=torch.float64)
        expected = _expected_madds(probs, layer_madds) + model.fixed_cost.madds
        architecture = model.backbone.export_architecture()
        values = {
            'entropy': float(routing_entropy(probs)),
            'expected_gmadds': expected / 1e9,
            'argmax_gmadds': model.network_cost.tree(architecture).madds / 1e9,
        }
        if (table := model.resource_loss.latency) is not None:
            values['expected_latency_ms'] = _expected_latency(probs, table)
            values['argmax_latency_ms'] = table.tree(architecture)
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/{name}', value)
        tasks = model.backbone.tasks
        runner.visualizer.add_scalars(
            {
                f'arch/layer{layer:02d}/{task}/candidate{candidate}': float(value)
                for layer, rows in enumerate(probs.cpu())
                for task, row in zip(tasks, rows, strict=True)
                for candidate, value in enumerate(row)
            },
            step=min(runner.iter + 1, runner.max_iters),
        )
        return values


@HOOKS.register_module()
class ArchitectureExportHook(Hook):
    """Write the tree of the most probable candidates beside every checkpoint, and at the end.

    ``<work_dir>/architecture.json`` is always the latest,
    ``<work_dir>/architectures/iter_<n>.json`` the one of each checkpoint; the checkpoint's meta
    has it as ``architecture``. The visualisation backends get a picture of each.

    Example:
        >>> custom_hooks = [dict(type='ArchitectureExportHook')]
    """

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Remove what a killed run left of files that it was writing."""
        remove_leftovers(Path(runner.work_dir) / 'architectures')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Write the tree of the checkpoint; mmengine calls this on the main process only."""
        tree = self._write(runner, checkpoint['meta']['iter'])
        checkpoint['meta']['architecture'] = tree.to_dict()

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Write the tree the search has ended in, and log it."""
        tree = self._write(runner, runner.iter)
        cost = tree.madds or {}
        table = search_loop_of(runner, self).model.resource_loss.latency
        latency = '' if table is None else f', {table.tree(tree):.2f} ms by the latency table'
        runner.logger.info(
            f'Searched architecture: {tree.describe()}; {cost["network"] / 1e9:.3f} billion '
            f'multiply-adds at {cost["shape"]}{latency}. '
            f'Written to {Path(runner.work_dir) / "architecture.json"}'
        )
        loss = search_loop_of(runner, self).model.resource_loss
        if miss := loss.describe_miss(cost['network'] if table is None else table.tree(tree)):
            held = '' if loss.budgeted == 'argmax' else ", model.resource_loss.budgeted='argmax'"
            runner.logger.warning(
                f'The tree misses the budget: its cost is {miss}. What may help: a larger '
                f'model.resource_loss.weight{held}, a longer search'
            )

    def _write(self, runner: Runner, iteration: int) -> BranchedArchitecture:
        """Write both files; return the tree."""
        source = {
            'config': Path(runner.cfg.filename).name if runner.cfg.filename else None,
            'iteration': iteration,
            'seed': runner.seed,
        }
        tree = search_loop_of(runner, self).model.export_architecture(source)
        directory = Path(runner.work_dir)
        (directory / 'architectures').mkdir(parents=True, exist_ok=True)
        tree.save(directory / 'architectures' / f'iter_{iteration}.json')
        tree.save(directory / 'architecture.json')
        runner.visualizer.add_image('architecture', tree_image(tree), iteration)
        return tree
