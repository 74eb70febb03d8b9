"""Losses of the dense-prediction tasks (method section 5).

They take the arguments of mmseg's losses, ``loss(pred, target, weight=None, ignore_index=255)``.
For a batch without a valid pixel they are finite, with a zero gradient.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbmtas.registry import MODELS
from mmbmtas.structures.values import require_number, require_share


class TaskLoss(nn.Module):
    """Base of the losses: a weight in the sum over tasks, and a name in the log.

    Args:
        loss_weight: Weight ``w_t`` of the task (Eq. 3).
        loss_name: Key in the loss dictionary; it must begin with ``loss_`` to be minimised.
    """

    def __init__(self, loss_weight: float, loss_name: str) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """Key in the loss dictionary."""
        return self._loss_name


def _mean_over(values: Tensor, valid: Tensor, weight: Tensor | None) -> Tensor:
    """Sum ``values`` where ``valid``, weighted, and divide by the number of valid pixels."""
    if weight is not None:
        values = values * weight
    return _keep(values, valid).sum() / valid.sum().clamp(min=1)


def _keep(values: Tensor, valid: Tensor) -> Tensor:
    """Replace values that are not ``valid`` by 0, and their gradient too.

    An invalid pixel may hold NaN or infinity, so a product with 0 would not work. Compute the loss
    from the replaced values: otherwise the gradient is 0 times NaN.
    """
    return torch.where(valid, values, values.new_zeros(()))


@MODELS.register_module()
class BalancedBCELoss(TaskLoss):
    """Binary cross-entropy with a weight for positives, for saliency and edges.

    ``mean over valid pixels of [w y BCE + (1 - w) (1 - y) BCE]``.

    Args:
        positive_weight: ``w`` in [0, 1]. ``None`` uses the share of negatives among the batch's
            valid pixels, as for saliency. Edges have 0.95 on PASCAL-Context and 0.8 on NYUD-v2.
        loss_weight: Weight of the task; the paper's are 5 (saliency) and 50 (edges).
        loss_name: Key in the loss dictionary.

    Raises:
        ValueError: ``positive_weight`` is outside [0, 1].
    """

    def __init__(
        self,
        positive_weight: float | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_bce',
    ) -> None:
        super().__init__(loss_weight, loss_name)
        if positive_weight is not None:
            require_share('positive_weight of BalancedBCELoss', positive_weight)
        self.positive_weight = positive_weight

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Compare logits ``(N, 1, H, W)`` with labels 0, 1, ``ignore_index`` ``(N, H, W)``."""
        valid = target != ignore_index
        logits = _keep(pred.squeeze(1), valid)
        positive = (target == 1).to(logits)
        if self.positive_weight is None:
            negatives = ((target == 0) & valid).sum()
            w = negatives / valid.sum().clamp(min=1)
        else:
            w = logits.new_full((), self.positive_weight)
        entropy = F.binary_cross_entropy_with_logits(logits, positive, reduction='none')
        balance = torch.where(positive > 0, w, 1 - w)
        return self.loss_weight * _mean_over(balance * entropy, valid, weight)


@MODELS.register_module()
class NormalsL1Loss(TaskLoss):
    """L1 distance of surface normals, after normalising the prediction.

    ``sum over channels and valid pixels of |p - g| / number of valid pixels``: three times the mean
    over all entries.

    Args:
        loss_weight: Weight of the task; the paper's is 10.
        loss_name: Key in the loss dictionary.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_l1') -> None:
        super().__init__(loss_weight, loss_name)

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Compare ``(N, 3, H, W)`` with unit vectors ``(N, 3, H, W)``; zero vectors are ignored."""
        valid = (target != 0).any(dim=1)
        pred = _keep(pred, valid[:, None])
        distance = (F.normalize(pred, dim=1) - target).abs().sum(dim=1)
        return self.loss_weight * _mean_over(distance, valid, weight)


@MODELS.register_module()
class DepthL1Loss(TaskLoss):
    """Mean absolute error over the valid pixels of a map of values, such as depth.

    Args:
        loss_weight: Weight of the task; the paper's is 1.
        loss_name: Key in the loss dictionary.
        ignore: Label of an unknown value. The default is 0, as in the public depth maps. A task
            whose values may be 0 needs another label, or None. NaN is always ignored.

    Raises:
        InputError: ``ignore`` is neither a number nor None.

    Example:
        >>> heights = DepthL1Loss(ignore=-9999)
        >>> label = torch.tensor([[[-2.0, -9999.0]]])
        >>> heights(torch.tensor([[[[1.0, 7.0]]]]), label)
        tensor(3.)
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_l1',
        ignore: float | None = 0.0,
    ) -> None:
        super().__init__(loss_weight, loss_name)
        self.ignore = None if ignore is None else require_number('ignore of DepthL1Loss', ignore)

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = 255
    ) -> Tensor:
        """Compare ``(N, 1, H, W)`` with values ``(N, H, W)``, both in the task's unit (metres)."""
        valid = ~target.isnan()
        if self.ignore is not None:
            valid &= target != self.ignore
        error = (_keep(pred.squeeze(1), valid) - _keep(target, valid)).abs()
        return self.loss_weight * _mean_over(error, valid, weight)
