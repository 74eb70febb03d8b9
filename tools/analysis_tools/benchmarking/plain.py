"""The plain implementations that ours are compared with; nothing else uses them."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from mmbmtas.models.backbones import BranchedSupernet, Features
from mmbmtas.registry import MODELS


@MODELS.register_module()
class PlainSupernet(BranchedSupernet):
    """A supernet that takes Eq. 2 of the paper by its word.

    All candidates of a layer run one after another in a Python loop, and are summed by their
    weights, also where these are one-hot. Parameters are those of ``BranchedSupernet``.
    """

    def forward(
        self, x: Tensor, tasks: Sequence[str] | None = None
    ) -> dict[str, Features] | Features:
        """Encode images ``(N, 3, H, W)`` for some tasks, by default all."""
        x = self.stem(x)
        return {task: self.encode(x, task) for task in tasks or self.tasks}

    def encode(self, x: Tensor, task: str) -> Features:
        """Send the stem's output through all candidates of all layers."""
        if self.routing_mode == 'relaxed' and self.training:
            weights = self.sample_routing(task)
        else:
            chosen = self.arch_params.new_tensor(self.routing(task)).long()
            weights = F.one_hot(chosen, len(self.tasks)).to(self.arch_params)
        low_level = x
        for index, (candidates, row) in enumerate(zip(self.layers, weights, strict=True)):
            x = sum(weight * op(x) for weight, op in zip(row, candidates, strict=True))
            if index == self.encoder.low_level_index:
                low_level = x
        return low_level, x
