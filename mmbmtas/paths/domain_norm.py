"""Batch normalisation whose statistics are those of one domain at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.errors import InputError


class DomainSwitch:
    """Tells all normalisations of a network the domain of the images that it processes."""

    def __init__(self) -> None:
        self._domain: str | None = None

    @property
    def domain(self) -> str:
        """The domain of the images; only asked for while there are some."""
        assert self._domain is not None, 'no domain was chosen'
        return self._domain

    @contextmanager
    def at(self, domain: str) -> Iterator[None]:
        """Choose a domain for what runs within."""
        before, self._domain = self._domain, domain
        try:
            yield
        finally:
            self._domain = before


class DomainBatchNorm2d(nn.BatchNorm2d):
    """A batch normalisation with running statistics for each domain.

    Batches are of one domain, so statistics of a layer that several domains share would be a
    mixture that fits none. Scale and shift are common to all by default.

    Args:
        norm: The normalisation whose settings it takes.
        domains: Names of the ``D`` domains that pass it.
        switch: Says whose images are running.
        own_affine: Whether each domain has a scale and a shift of its own too.

    Attributes:
        running_mean: ``(D, C)``.
        running_var: ``(D, C)``.
        weight: ``(C,)``, or ``(D, C)`` with ``own_affine``; likewise ``bias``.
    """

    def __init__(
        self,
        norm: nn.BatchNorm2d,
        domains: Sequence[str],
        switch: DomainSwitch,
        own_affine: bool = False,
    ) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        shape = len(domains), norm.num_features
        self.running_mean: Tensor = torch.zeros(shape)
        self.running_var: Tensor = torch.ones(shape)
        self.num_batches_tracked = None
        self.own_affine = own_affine and norm.affine
        if self.own_affine:
            self.weight = nn.Parameter(torch.ones(shape))
            self.bias = nn.Parameter(torch.zeros(shape))
        self.domains = tuple(domains)
        self._rows = {domain: row for row, domain in enumerate(self.domains)}
        self._switch = switch

    def forward(self, x: Tensor) -> Tensor:
        """Normalise maps ``(N, C, H, W)`` of the domain that was chosen."""
        row = self._rows[self._switch.domain]
        weight: Any = self.weight[row] if self.own_affine else self.weight
        bias: Any = self.bias[row] if self.own_affine else self.bias
        mean, var = self.running_mean[row], self.running_var[row]
        assert self.momentum is not None
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)

    @torch.no_grad()
    def of(self, domain: str) -> nn.BatchNorm2d:
        """Return an ordinary normalisation that does the same to one domain's maps."""
        row = self._rows[domain]
        norm = nn.BatchNorm2d(self.num_features, self.eps, self.momentum, self.affine)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(self.running_mean[row])
        norm.running_var.copy_(self.running_var[row])
        if self.affine:
            norm.weight.copy_(self.weight[row] if self.own_affine else self.weight)
            norm.bias.copy_(self.bias[row] if self.own_affine else self.bias)
        return norm.train(self.training).to(self.running_mean.device)


def separate_statistics(
    module: nn.Module, domains: Sequence[str], switch: DomainSwitch, own_affine: bool = False
) -> None:
    """Give a part of a network statistics for each of its domains; one domain needs no more.

    Args:
        module: The part, which is changed.
        domains: Those that pass it.
        switch: Says whose images are running.
        own_affine: See :class:`DomainBatchNorm2d`.

    Raises:
        InputError: A normalisation keeps statistics in a way that is not known here.
    """
    if len(domains) < 2:
        return
    for parent in [*module.modules()]:
        for name, norm in parent.named_children():
            if not isinstance(norm, _BatchNorm) or not norm.track_running_stats:
                continue
            if type(norm) is not nn.BatchNorm2d or norm.momentum is None:
                raise InputError(
                    f'norm_cfg of the encoder gives {type(norm).__name__} with momentum '
                    f"{norm.momentum}: statistics by domain need dict(type='BN') with a momentum; "
                    "or choose norm_statistics='shared'"
                )
            setattr(parent, name, DomainBatchNorm2d(norm, domains, switch, own_affine))


def settle_domain(module: nn.Module, domain: str) -> None:
    """Replace all normalisations by domain in a part of a network by those of one domain."""
    for parent in [*module.modules()]:
        for name, norm in parent.named_children():
            if isinstance(norm, DomainBatchNorm2d):
                setattr(parent, name, norm.of(domain))


def has_statistics_by_domain(module: nn.Module) -> bool:
    """Tell whether a part of a network computes otherwise for another domain."""
    return any(isinstance(child, DomainBatchNorm2d) for child in module.modules())


def drop_running_statistics(module: nn.Module) -> None:
    """Let all batch normalisations use the statistics of the batch, in evaluation too.

    What different paths and domains send through a supernet's node in turn has no common
    statistics.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm) and norm.track_running_stats:
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None


def is_statistic(key: str) -> bool:
    """Tell whether a checkpoint's key names statistics, which not all normalisations here have."""
    return key.endswith(('.running_mean', '.running_var', '.num_batches_tracked'))
