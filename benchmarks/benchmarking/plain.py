"""The plain implementations that ours are compared with; nothing else uses them."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.losses import ResourceLoss
from mmbmtas.models.backbones import BranchedSupernet, Features
from mmbmtas.registry import MODELS
from mmbmtas.structures import TaskGrouping, all_groupings


@MODELS.register_module()
class PlainSupernet(BranchedSupernet):
    """A supernet that takes Eq. 2 of the paper by its word, as the authors' own does.

    All candidates of a layer run one after another in a Python loop, and are summed by their
    weights, also in warm-up, where these are one-hot. Each convolution, normalisation and
    activation is a module of torch that runs by itself, on contiguous maps with the channels
    outermost. Parameters and their names are those of ``BranchedSupernet``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _take_apart(self)

    def forward(
        self, x: Tensor, tasks: Sequence[str] | None = None
    ) -> dict[str, Features] | Features:
        """Encode images ``(N, 3, H, W)`` for some tasks, by default all."""
        x = self.stem(x.contiguous())
        return {task: self.encode(x, task) for task in tasks or self.tasks}

    def encode(self, x: Tensor, task: str) -> Features:
        """Send the stem's output through all candidates of all layers."""
        if self.routing_mode == 'relaxed' and self.training:
            weights = self.sample_routing(task)
        else:
            chosen = self.arch_params.new_tensor(self.routing(task)).long()
            weights = F.one_hot(chosen, len(self.tasks)).to(self.arch_params)
        levels = {}
        for index, (candidates, row) in enumerate(zip(self.layers, weights, strict=True)):
            x = sum(weight * op(x) for weight, op in zip(row, candidates, strict=True))
            levels[index] = x
        return tuple(levels[tap] for tap in self.taps)


class _Parts(nn.Sequential):
    """What a ``ConvModule`` holds, one after another."""

    def __init__(self, module: ConvModule) -> None:
        super().__init__(OrderedDict(module.named_children()))
        self.norm_name = module.norm_name

    @property
    def norm(self) -> nn.Module | None:
        """The normalisation, by the name that ``ConvModule`` has for it."""
        return self.get_submodule(self.norm_name) if self.norm_name else None


def _take_apart(module: nn.Module) -> None:
    """Put the parts of each ``ConvModule`` in its place, as long as they run in this order."""
    for name, child in [*module.named_children()]:
        if isinstance(child, ConvModule) and child.order == ('conv', 'norm', 'act'):
            setattr(module, name, _Parts(child))
        else:
            _take_apart(child)


class PlainRecursion:
    """The resource loss by Eq. 5 and 6 of the paper as they stand.

    All samples of a layer are listed at start-up, and the partition of the tasks that each makes.
    The value is that of ``mmbmtas.cost.recursive_expected_madds``.

    Args:
        num_tasks: Number of tasks and of candidates.
        device: Where the probabilities are.
    """

    def __init__(self, num_tasks: int, device: torch.device | str = 'cpu') -> None:
        partitions = [*all_groupings(num_tasks)]  # all apart last
        position = {partition: k for k, partition in enumerate(partitions)}
        samples = [*product(range(num_tasks), repeat=num_tasks)]
        made = [position[TaskGrouping.from_labels(sample)] for sample in samples]
        num_groups = [float(partition.num_groups) for partition in partitions]
        self.samples = torch.tensor(samples, device=device)
        self.partition = torch.tensor(made, device=device)
        self.num_groups = torch.tensor(num_groups, device=device)
        self.ancestors = [
            torch.tensor(
                [m for m, above in enumerate(partitions) if below.refines(above)], device=device
            )
            for below in partitions
        ]

    def __call__(self, probs: Tensor, madds: Sequence[float]) -> Tensor:
        """Return the cost for probabilities ``(L, T, T)`` and costs of one copy of each layer."""
        tasks = torch.arange(probs.shape[1], device=probs.device)
        total, grouping = probs.new_zeros(()), None
        for layer, cost in zip(probs, madds, strict=True):
            sampled = layer[tasks, self.samples].prod(dim=1)
            exactly = layer.new_zeros(len(self.ancestors)).index_add(0, self.partition, sampled)
            if grouping is None:
                grouping = exactly
            else:
                kept = [
                    exactly[k] * grouping[ancestors].sum()
                    for k, ancestors in enumerate(self.ancestors[:-1])
                ]
                grouping = torch.stack([*kept, 1 - sum(kept, start=probs.new_zeros(()))])
            total = total + cost * (grouping @ self.num_groups.to(probs))
        return total


@MODELS.register_module()
class PlainResourceLoss(ResourceLoss):
    """A resource loss by :class:`PlainRecursion`, for up to 7 tasks.

    Args:
        options: As those of ``ResourceLoss``, but for ``expectation`` and ``latency``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(expectation='recursive', **options)
        self.expected = self._recurse
        self._recursion: PlainRecursion | None = None

    def _recurse(self, probs: Tensor, madds: Tensor) -> Tensor:
        """Compute the expected cost; the first call lists the samples."""
        if self._recursion is None:
            self._recursion = PlainRecursion(probs.shape[1], probs.device)
        return self._recursion(probs, madds.tolist())
