"""GradNorm."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.documents import is_positive_number

from .base import LossBalancing, mean_over_ranks

# Gradients of float16 layers would vanish without it; a power of 2 changes no digit of the others.
_SCALE = 2.0**10


@MODELS.register_module()
class GradNorm(LossBalancing):
    """Give all tasks gradients of similar norm, and slow learners larger ones (Chen, ICML 2018).

    A task has the loss ``L``, at first ``L0``, and the weight ``w``. ``G`` is the norm of the
    gradient of ``w L`` in one shared layer. ``r`` is ``L / L0`` divided by the tasks' mean of it.
    The weights descend ``sum over tasks of |G - mean(G) r ** alpha|``, with the second term held
    constant. They are then scaled to sum to the number of tasks.

    Our choice: the step is taken in ``log w`` and in units of ``mean(G)``, so weights stay positive
    and ``lr`` fits losses of any scale. If a batch has labels of some tasks only, their weights
    change, but not the sum of their weights. ``L0`` is the loss in the first batch with a label. An
    iteration uses the weights from the iteration before, as in the paper's Algorithm 1. In a
    search, weights step after each task, so the norms of an iteration are measured one after
    another too.

    Args:
        tasks: Names of all tasks; the segmentor gives them.
        alpha: How strongly slow tasks are favoured.
        lr: Step size; the paper has 0.025.
        layer: Dotted name of the module whose gradients are measured, for example
            ``backbone.stem``. The default is the backbone's last layer that all tasks share. In a
            search it is the stem, which all tasks share for any routing.

    Raises:
        ValueError: ``alpha`` is negative or ``lr`` not above 0; the network has no such layer, or
            a task does not pass through it.

    Example:
        >>> model = dict(loss_balancing=dict(type='GradNorm', alpha=1.5))
    """

    task_weights: Tensor
    initial: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        alpha: float = 1.5,
        lr: float = 0.025,
        layer: str | None = None,
    ) -> None:
        super().__init__(tasks)
        if not ((alpha == 0 or is_positive_number(alpha)) and is_positive_number(lr)):
            raise InputError(
                f'alpha {alpha!r} and lr {lr!r} of GradNorm: expected a number of 0 or more '
                'and one above 0'
            )
        self.alpha = alpha
        self.lr = lr
        self.layer = layer
        self.register_buffer('task_weights', torch.ones(len(self.tasks)))
        self.register_buffer('initial', torch.full((len(self.tasks),), torch.nan))
        self._parameters_measured: list[nn.Parameter] = []
        self._norms: dict[str, Tensor] = {}
        self._losses: dict[str, Tensor] = {}

    def bind(self, model: Any) -> None:
        """Find the shared layer."""
        if self.layer is None:
            module = _last_shared_layer(model.backbone)
        else:
            try:
                module = model.get_submodule(self.layer)
            except AttributeError as error:
                raise InputError(f'layer {self.layer!r} of GradNorm: {error}') from error
        self._parameters_measured = [*module.parameters()]
        if not self._parameters_measured:
            raise InputError(f'layer {self.layer!r} of GradNorm has no parameters')

    def weight(self, task: str) -> Tensor:
        """Return the weight from the iteration before."""
        return self.task_weights[self.tasks.index(task)].clone()

    def _record(self, losses: Mapping[str, Tensor], labelled: Collection[str]) -> None:
        """Measure each task's gradient in the layer, averaged over the ranks."""
        for task, loss in losses.items():
            self._norms[task] = self._norm(task, loss)
        self._losses |= mean_over_ranks(losses, labelled)

    def _norm(self, task: str, loss: Tensor) -> Tensor:
        """Return the norm of the gradient of one unweighted loss."""
        parameters = self._parameters_measured
        found = torch.autograd.grad(loss * _SCALE, parameters, retain_graph=True, allow_unused=True)
        if all(gradient is None for gradient in found):
            raise InputError(
                f'GradNorm measures gradients in {self.layer or "a layer"}, but the task {task!r} '
                'does not use it: set loss_balancing.layer to a layer that all tasks share'
            )
        gradient = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten().float()
                for p, g in zip(parameters, found, strict=True)
            ]
        )
        dist.all_reduce(gradient, 'mean')
        return gradient.norm() / _SCALE

    def _learn(self) -> None:
        """Step the weights of the tasks seen in this iteration."""
        if not self._norms:
            return
        index = self._positions(self._norms, self.task_weights.device)
        norms = torch.stack([*self._norms.values()])
        losses = torch.stack([self._losses[task] for task in self._norms])
        self._norms, self._losses = {}, {}
        if not norms.isfinite().all():  # float16 overflowed; this batch will not train either
            return
        first = self.initial[index]
        self.initial[index] = torch.where(first.isnan(), losses, first)
        self.task_weights[index] = grad_norm_step(
            self.task_weights[index], norms, losses / self.initial[index], self.alpha, self.lr
        )


def grad_norm_step(
    weights: Tensor, norms: Tensor, progress: Tensor, alpha: float, lr: float
) -> Tensor:
    """Return the weights after a step of :class:`GradNorm`, with the same sum.

    Args:
        weights: Weights ``w``, above 0, ``(T,)``.
        norms: Norms of the gradients of the unweighted losses, ``(T,)``.
        progress: Losses divided by the first losses, ``(T,)``.
        alpha: How strongly slow tasks are favoured.
        lr: Step size.
    """
    tiny = torch.finfo(norms.dtype).tiny
    weighted = weights * norms
    mean = weighted.mean().clamp(min=tiny)
    slowness = progress / progress.mean().clamp(min=tiny)
    excess = (weighted - mean * slowness**alpha).sign()
    stepped = weights * (-lr * excess * weighted / mean).exp()
    return stepped * (weights.sum() / stepped.sum())


def _last_shared_layer(backbone: Any) -> nn.Module:
    """Return the last module that all tasks share."""
    shared = [module for module, count in backbone.shared_by() if count == len(backbone.tasks)]
    if not shared:
        raise InputError(
            'GradNorm measures gradients in a layer that all tasks share, and '
            f'{type(backbone).__name__} has none: set loss_balancing.layer to a module that the '
            "gradients of all tasks reach, such as 'backbone.units.0' of a CrossStitchNetwork"
        )
    return shared[-1]
