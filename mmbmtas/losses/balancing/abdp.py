"""Adaptive balanced domain prioritization."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from mmengine import dist
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures.values import require_share, require_switch

from .base import LossBalancing


@MODELS.register_module()
class ABDP(LossBalancing):
    """Weigh each task by its current difficulty (ABDP of MPNAS, WACV 2021).

    ``w = T softmax(difficulty / temperature)`` over the ``T`` tasks, or domains of one task each.
    The difficulty is a running average of the task's loss over iterations, without the bias of
    its start. The article's formula is not public: all of this is ours.

    Losses of many classes are larger than those of few, whatever their difficulty. So by default
    a loss is divided by that of the uniform prediction, ``log C`` of ``C`` classes. Of a task
    without classes (normals, depth) it is divided by the first loss. At the start, where losses
    are like this, weights are 1.

    A task keeps its average while its labels lack. Weights of the tasks seen so far sum to their
    number; those of others are 1.

    Args:
        tasks: Names of all tasks; the segmentor gives them.
        temperature: Above 0. Small values favour the most difficult task, large ones make weights
            equal; ``inf`` leaves the losses as they are.
        momentum: Share of the average that an iteration keeps.
        relative: Whether losses are divided as above.

    Raises:
        InputError: A number means nothing.

    Example:
        >>> model = dict(loss_balancing=dict(type='ABDP', temperature=0.2))
    """

    task_weights: Tensor
    averages: Tensor
    counts: Tensor
    scales: Tensor

    def __init__(
        self,
        tasks: Sequence[str],
        temperature: float = 0.2,
        momentum: float = 0.9,
        relative: bool = True,
    ) -> None:
        super().__init__(tasks)
        usual = isinstance(temperature, int | float) and not isinstance(temperature, bool)
        if not (usual and temperature > 0):
            raise InputError(
                f"temperature {temperature!r} of ABDP: expected a number above 0, or float('inf')"
            )
        self.temperature = float(temperature)
        self.momentum = require_share('momentum of ABDP', momentum, below_one=True)
        self.relative = require_switch('relative of ABDP', relative)
        count = len(self.tasks)
        self.register_buffer('task_weights', torch.ones(count))
        self.register_buffer('averages', torch.zeros(count))
        self.register_buffer('counts', torch.zeros(count))
        # What a loss is divided by; NaN until a task without classes has its first loss.
        self.register_buffer('scales', torch.full((count,), math.nan if relative else 1.0))
        self._seen: list[Tensor] = []

    def bind(self, model: Any) -> None:
        """Look up the number of classes of each task."""
        if not self.relative:
            return
        for position, task in enumerate(self.tasks):
            head = model.decode_heads[task]
            output = getattr(head, 'output', 'classes')
            classes = {'normals': None, 'value': None, 'probability': 2}.get(
                output, getattr(head, 'num_classes', None)
            )
            if classes is not None and classes > 1:
                self.scales[position] = math.log(classes)

    def weight(self, task: str) -> Tensor:
        """Return the weight computed from earlier iterations."""
        return self.task_weights[self.tasks.index(task)].clone()

    def _record(self, losses: Mapping[str, Tensor], labelled: Collection[str]) -> None:
        """Keep the losses of this rank, with a count of one where the task has a label."""
        found = torch.zeros(2, len(self.tasks), device=self.averages.device)
        for task in labelled:
            position = self.tasks.index(task)
            found[0, position] = losses[task].detach().float()
            found[1, position] = 1
        self._seen.append(found)

    def _learn(self) -> None:
        """Update averages and weights by the ranks' mean losses."""
        if not self._seen:
            return
        found = torch.stack(self._seen).sum(dim=0)
        self._seen = []
        dist.all_reduce(found)
        losses, present = found[0] / found[1], found[1] > 0
        fresh = present & self.scales.isnan()
        self.scales.copy_(torch.where(fresh, losses, self.scales))
        kept = self.momentum * self.averages + (1 - self.momentum) * losses / self.scales
        self.averages.copy_(torch.where(present, kept, self.averages))
        self.counts += present
        self.task_weights.copy_(self._weights())

    def _weights(self) -> Tensor:
        if math.isinf(self.temperature):
            return torch.ones_like(self.task_weights)
        seen = self.counts > 0
        difficulty = self.averages / (1 - self.momentum**self.counts)
        logits = (difficulty / self.temperature).masked_fill(~seen, -math.inf)
        # Without a task seen the softmax is NaN, and not taken.
        return torch.where(seen, seen.sum() * logits.softmax(dim=0), 1.0)
