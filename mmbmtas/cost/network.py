"""Cost of whole multi-task networks, from one measurement of their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from mmbmtas.cost.madds import ModuleCost, forward_cost
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture


@dataclass(frozen=True)
class NetworkCost:
    """Costs of the parts of a multi-task network at one input size.

    All networks that the paper compares are sums of these parts (paper, section 4). They differ in
    the numbers of copies of the stem and of each layer.

    Attributes:
        stem: The encoder's stem, which every branched network has once.
        layers: One copy of each encoder layer, ``L`` of them, the context module last.
        decoders: The decoder of each task.
    """

    stem: ModuleCost
    layers: tuple[ModuleCost, ...]
    decoders: Mapping[str, ModuleCost]

    @property
    def layer_madds(self) -> tuple[int, ...]:
        """Multiply-adds of one copy of each layer: ``c_l`` of the resource loss (paper, Eq. 5)."""
        return tuple(layer.madds for layer in self.layers)

    def shared(self) -> ModuleCost:
        """Cost of one encoder for all tasks, and a decoder per task."""
        return self._sum(1, [1] * len(self.layers))

    def all_apart(self) -> ModuleCost:
        """Cost of one stem, then an encoder and a decoder per task."""
        return self._sum(1, [len(self.decoders)] * len(self.layers))

    def single(self) -> ModuleCost:
        """Cost of one network per task, stem included, summed over the tasks."""
        copies = len(self.decoders)
        return self._sum(copies, [copies] * len(self.layers))

    def tree(self, architecture: BranchedArchitecture) -> ModuleCost:
        """Cost of a branched network: one copy of a layer for each group of tasks.

        Only the decoders of the architecture's tasks count. An architecture restricted with
        :meth:`BranchedArchitecture.for_tasks` therefore gives the cost of these tasks alone.

        Raises:
            ValueError: If the architecture has another number of layers, or a task without a
                decoder.
        """
        if architecture.num_layers != len(self.layers):
            raise InputError(
                f'the architecture has {architecture.num_layers} layers, the measured encoder '
                f'has {len(self.layers)}'
            )
        if unknown := [task for task in architecture.tasks if task not in self.decoders]:
            raise InputError(f'no decoder was measured for {unknown}, only for {[*self.decoders]}')
        groups = [grouping.num_groups for grouping in architecture.groupings]
        return self._sum(1, groups, architecture.tasks)

    def _sum(
        self, stems: int, copies: Sequence[int], tasks: Sequence[str] | None = None
    ) -> ModuleCost:
        """Sum the parts: ``stems`` stems, ``copies[l]`` of layer ``l``, decoders of ``tasks``."""
        decoders = [self.decoders[task] for task in (self.decoders if tasks is None else tasks)]
        layers = [layer * n for layer, n in zip(self.layers, copies, strict=True)]
        return sum([*layers, *decoders], self.stem * stems)


def measure(
    stem: nn.Module,
    layers: Sequence[nn.Module] | nn.ModuleList,
    heads: Mapping[str, nn.Module],
    shape: tuple[int, int],
    low_level_index: int,
    taps: Sequence[int] | None = None,
) -> NetworkCost:
    """Measure the parts of a network by sending an image of shape ``(1, 3, H, W)`` through them.

    Nothing is computed, see :func:`~mmbmtas.cost.madds.count_madds`. The context feature is the
    last layer's output, and each head is called as ``head((low_level, context))``, or with the
    outputs of ``taps``.

    Args:
        stem: From the image to the first layer's input.
        layers: One copy of each encoder layer, in order; each takes the output of the one before.
        heads: The decoder of each task.
        shape: Height and width of the input in pixels.
        low_level_index: Position in ``layers`` of the layer whose output is the low-level
            feature.
        taps: Positions of the layers whose outputs the heads are called with instead.

    Raises:
        ValueError: If ``low_level_index`` is not the position of a layer.
    """
    if not 0 <= low_level_index < len(layers):
        raise InputError(
            f'low_level_index is {low_level_index}, expected 0 to {len(layers) - 1}: the encoder '
            f'has {len(layers)} layers'
        )
    x, stem_cost = forward_cost(stem, torch.empty(1, 3, *shape, device='meta'))
    costs, levels = [], []
    for layer in layers:
        x, cost = forward_cost(layer, x)
        costs.append(cost)
        levels.append(x)
    features = tuple(levels[tap] for tap in taps or (low_level_index, -1))
    decoders = {task: forward_cost(head, features)[1] for task, head in heads.items()}
    return NetworkCost(stem_cost, tuple(costs), decoders)


def with_cost(
    architecture: BranchedArchitecture, cost: NetworkCost, shape: tuple[int, int]
) -> BranchedArchitecture:
    """Return the same tree with its multiply-adds filled in."""
    network = cost.tree(architecture)
    madds = {
        'shape': [*shape],
        'network': network.madds,
        'network_paper': network.madds_paper,
        'layers': [*cost.layer_madds],
    }
    return replace(architecture, madds=madds)
