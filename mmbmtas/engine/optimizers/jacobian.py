"""Optimiser wrappers that aggregate the tasks' gradients instead of summing them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine import dist
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmbmtas.engine.failures import NonFiniteGradientError
from mmbmtas.engine.wrapping import unwrapped
from mmbmtas.errors import InputError
from mmbmtas.losses.balancing import OTHER, carry_parts, parts_of
from mmbmtas.registry import OPTIM_WRAPPERS

from .aggregators import AggregatorFactory
from .amp import CpuAmpOptimWrapper

Row = dict[nn.Parameter, Tensor]
"""The gradient of one task's loss, for the parameters that it reaches."""


@OPTIM_WRAPPERS.register_module()
class JacobianOptimWrapper(OptimWrapper):
    """Aggregate the gradients of the tasks by one of TorchJD's methods, then step.

    Parameters that the same tasks reach are taken together: their gradients are the rows of a
    Jacobian, ``(tasks, parameters)``, and the aggregator makes one gradient of them. An operation
    of a tree that ``semseg`` and ``edge`` share has rows for these two, a decoder has an ordinary
    gradient. Which tasks reach a parameter is read from the graph, so any backbone will do, and a
    task without a label in the batch has no row. It costs a backward pass a task.

    With gradient accumulation, Jacobians are accumulated and aggregated before the step; on several
    ranks they are averaged first, and the aggregate of the first rank counts. Losses are weighed by
    the heads and by ``loss_balancing``, if there is one. An aggregator that remembers, as Nash-MTL
    does, starts anew when a run is resumed.

    Many aggregators give a mean of the gradients, not a sum: then the rates need not be divided by
    the number of tasks, and :class:`SharedLrOptimWrapperConstructor` should be left out.

    Args:
        aggregator: ``type``, a class of ``torchjd.aggregation`` (``UPGrad``, ``PCGrad``,
            ``CAGrad``, ``IMTLG``, ``NashMTL``, ...), and its arguments. A vector with an entry a
            row, such as UPGrad's ``pref_vector``, is given as numbers by task; Nash-MTL's
            ``n_tasks`` need not be given.
        kwargs: What else ``mmengine.optim.OptimWrapper`` takes.

    Raises:
        ValueError: TorchJD is not installed, has no such aggregator, or refuses its arguments; an
            argument names a task that the model lacks; the model is sharded over the ranks, so
            that none has whole gradients.
        DivergenceError: A task's gradient is not finite.

    Example:
        >>> optim_wrapper = dict(
        ...     type='JacobianOptimWrapper', aggregator=dict(type='UPGrad'),
        ...     optimizer=dict(type='SGD', lr=0.005, momentum=0.9))
    """

    def __init__(self, aggregator: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._factory = AggregatorFactory({} if aggregator is None else aggregator)
        self._knows_tasks = False
        self._aggregators: dict[tuple[str, ...], Any] = {}
        self._rows: dict[str, Row] = {}

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass as ``OptimWrapper`` does."""
        if is_model_wrapper(model) and not isinstance(model, DistributedDataParallel):
            raise InputError(
                f'{type(self).__name__} needs whole gradients on every rank, which '
                f'{type(model).__name__} does not give: use MMDistributedDataParallel'
            )
        if not self._knows_tasks:
            tasks = getattr(unwrapped(model), 'tasks', None)
            if tasks is not None:
                self._factory.check_tasks(tasks)
            self._knows_tasks = True
        with super().optim_context(model):
            yield

    def should_sync(self) -> bool:
        """Tell that ``DistributedDataParallel`` need not average: Jacobians are averaged here."""
        return False

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Divide the loss, and what each task adds to it, for gradient accumulation."""
        scale = super().scale_loss
        parts = {task: scale(part) for task, part in parts_of(loss).items()}
        return carry_parts(scale(loss), parts)

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Add the gradient of each task's loss to its row.

        Args:
            loss: What ``parse_losses`` of a multi-task segmentor returns.
            kwargs: Not used.
        """
        parameters = [
            p for group in self.optimizer.param_groups for p in group['params'] if p.requires_grad
        ]
        parts = parts_of(loss)
        for index, (task, part) in enumerate(parts.items(), start=1):
            gradients = torch.autograd.grad(
                self._enlarge(part), parameters, retain_graph=index < len(parts), allow_unused=True
            )
            row = self._rows.setdefault(task, {})
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    row[parameter] = row[parameter] + gradient if parameter in row else gradient
        self._inner_count += 1

    def step(self, **kwargs: Any) -> None:
        """Aggregate the rows into the parameters' gradients, and step."""
        self._aggregate()
        super().step(**kwargs)

    def zero_grad(self, **kwargs: Any) -> None:
        """Forget gradients and rows."""
        super().zero_grad(**kwargs)
        self._rows.clear()

    def _enlarge(self, loss: Tensor) -> Tensor:
        """Multiply a loss by :attr:`_loss_scale`."""
        return loss

    @property
    def _loss_scale(self) -> float | None:
        """By how much gradients are enlarged; ``None`` where they never are."""
        return None

    def _aggregate(self) -> None:
        """Write the gradient of every parameter that a row has."""
        for row in self._rows.values():
            _average_over_ranks(row)
        broken = [task for task, row in self._rows.items() if not _is_finite(row)]
        if broken and self._loss_scale is None:
            raise NonFiniteGradientError(
                f'non-finite gradient of {broken}: training has diverged; a lower learning rate '
                'may help'
            )
        for tasks, parameters in _by_tasks(self._rows).items():
            rows = [[self._rows[task][p] for p in parameters] for task in tasks]
            if len(tasks) == 1:
                gradients = rows[0]
            elif broken:  # the loss scaler finds it, and skips this step
                gradients = [torch.stack(column).sum(dim=0) for column in zip(*rows, strict=True)]
            else:
                gradients = self._combine(tasks, rows)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
        for parameter, gradient in self._rows.get(OTHER, {}).items():
            before = parameter.grad
            parameter.grad = gradient if before is None else before + gradient

    def _combine(self, tasks: tuple[str, ...], rows: list[list[Tensor]]) -> list[Tensor]:
        """Aggregate the gradients of several tasks for the parameters that they share."""
        if tasks not in self._aggregators:
            self._aggregators[tasks] = self._factory.build(tasks, rows[0][0].device)
        matrix = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
        scale = self._loss_scale or 1.0
        try:
            vector = self._aggregators[tasks](matrix / scale) * scale
        except ValueError as error:
            raise InputError(
                f'{self._factory.name} cannot aggregate the gradients of {[*tasks]}: {error}'
            ) from error
        # Some aggregators draw random numbers or solve iteratively: the ranks must not part.
        dist.broadcast(vector)
        pieces = vector.split([gradient.numel() for gradient in rows[0]])
        return [piece.view_as(g) for piece, g in zip(pieces, rows[0], strict=True)]


@OPTIM_WRAPPERS.register_module()
class CpuAmpJacobianOptimWrapper(JacobianOptimWrapper, CpuAmpOptimWrapper):
    """A :class:`JacobianOptimWrapper` with bfloat16 autocast on the CPU; see ``--amp``."""


@OPTIM_WRAPPERS.register_module()
class AmpJacobianOptimWrapper(JacobianOptimWrapper, AmpOptimWrapper):
    """A :class:`JacobianOptimWrapper` in mixed precision on GPUs; see ``--amp``.

    Rows are computed of scaled losses and aggregated without the scale. Where a row has overflowed,
    the loss scaler skips the step and lowers the scale, as it does otherwise.
    """

    def _enlarge(self, loss: Tensor) -> Tensor:
        """Multiply a loss by the scaler's current scale."""
        return self.loss_scaler.scale(loss)

    @property
    def _loss_scale(self) -> float:
        """The scaler's current scale."""
        return self.loss_scaler.get_scale()


def _by_tasks(rows: dict[str, Row]) -> dict[tuple[str, ...], list[nn.Parameter]]:
    """Sort parameters by the tasks, in alphabetical order, that have a gradient of them."""
    reached: dict[nn.Parameter, list[str]] = {}
    for task in sorted(rows.keys() - {OTHER}):
        for parameter in rows[task]:
            reached.setdefault(parameter, []).append(task)
    groups: dict[tuple[str, ...], list[nn.Parameter]] = {}
    for parameter, tasks in reached.items():
        groups.setdefault(tuple(tasks), []).append(parameter)
    return groups


def _average_over_ranks(row: Row) -> None:
    """Replace a row by its mean over the ranks; all have rows of the same tasks and parameters."""
    if dist.get_world_size() > 1 and row:
        flat = torch.cat([gradient.flatten() for gradient in row.values()])
        dist.all_reduce(flat, 'mean')
        pieces = flat.split([gradient.numel() for gradient in row.values()])
        row |= {p: piece.view_as(p) for p, piece in zip(row, pieces, strict=True)}


def _is_finite(row: Row) -> bool:
    """Tell whether a row has neither infinities nor NaN."""
    return not row or bool(torch.stack([g.isfinite().all() for g in row.values()]).all())
