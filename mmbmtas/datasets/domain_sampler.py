"""Draws images of several domains in turn, so that every batch has equally many of each."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import Subset

from mmbmtas.errors import InputError
from mmbmtas.registry import DATA_SAMPLERS

from .concat import ConcatDataset


@DATA_SAMPLERS.register_module()
class DomainSampler(InfiniteSampler):
    """Yield an image of each domain in turn, without end: 0, 1, .., D - 1, 0, ..

    Each domain has endless shuffles of its own images, which depend on the seed and the domain
    alone, so that a small domain begins anew while a large one is still on its first pass. A round
    of all domains goes to one rank; the ranks take the rounds in turn. A batch then has the same
    number of images of each domain, if its size is a multiple of their number.

    Args:
        dataset: A :class:`ConcatDataset` with ``domains``, a subset of one, or another data set
            with one ``domain``.
        seed: Of the shuffles.

    Raises:
        InputError: A data set is of no domain, or a domain has no images.
    """

    def __init__(self, dataset: Any, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.seed = seed or 0
        self.shuffle = True
        self.indices = images_of_domains(dataset)
        self.size = len(dataset)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in their order."""
        return (*self.indices,)

    def check_batch(self, batch_size: int) -> None:
        """Refuse batches that cannot have equally many images of each domain.

        Raises:
            InputError: The size is no multiple of the number of domains.
        """
        if batch_size % len(self.indices):
            raise InputError(
                f'train_dataloader.batch_size {batch_size}: DomainSampler gives '
                f'{len(self.indices)} domains in turn ({", ".join(self.indices)}), expected a '
                'multiple of their number on each rank'
            )

    def __iter__(self) -> Iterator[int]:
        """Give the indices of this rank's rounds."""
        streams = [self._endless(number) for number in range(len(self.indices))]
        for number in count():
            images = [next(stream) for stream in streams]
            if number % self.world_size == self.rank:
                yield from images

    def __len__(self) -> int:
        return self.size

    def _endless(self, number: int) -> Iterator[int]:
        """Give the images of one domain, shuffled anew for each pass."""
        images = [*self.indices.values()][number]
        for turn in count():
            for place in np.random.default_rng([self.seed, number, turn]).permutation(len(images)):
                yield images[place]


def images_of_domains(dataset: Any) -> dict[str, list[int]]:
    """Return the indices of each domain's images.

    Args:
        dataset: See :class:`DomainSampler`.

    Raises:
        InputError: A data set is of no domain, or a domain has no images.
    """
    found: dict[str, list[int]] = {}
    for index, domain in enumerate(_domains(dataset)):
        if domain is None:
            raise InputError(
                'the data set has images of no domain: expected a ConcatDataset with '
                "domains=['NAME', ...], or data sets with a domain of their own"
            )
        found.setdefault(domain, []).append(index)
    if empty := [domain for domain in _all_domains(dataset) if domain not in found]:
        raise InputError(f'the domain {", ".join(empty)} has no images')
    return found


def _domains(dataset: Any) -> list[str | None]:
    """Return the domain of each image."""
    if isinstance(dataset, Subset):
        domains = _domains(dataset.dataset)
        return [domains[index] for index in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = zip(dataset.datasets, dataset.domains, strict=True)
        return [domain for part, domain in parts for _ in range(len(part))]
    inner = getattr(dataset, 'dataset', None)
    if inner is not None:
        return _domains(inner)
    return [getattr(dataset, 'domain', None)] * len(dataset)


def _all_domains(dataset: Any) -> list[str]:
    """Return the domains that there are, with or without images, in their order."""
    while not isinstance(dataset, ConcatDataset) and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    names = getattr(dataset, 'domains', None) or [getattr(dataset, 'domain', None)]
    return [*dict.fromkeys(name for name in names if name is not None)]
