"""Images of several domains in turn: equal shares, endless shuffles, ranks in turn."""

from itertools import islice

import pytest
from mmengine.dataset import BaseDataset, InfiniteSampler
from torch.utils.data import Subset

from mmbmtas.datasets import ConcatDataset, DomainSampler
from mmbmtas.datasets import domain_sampler as module
from mmbmtas.errors import InputError

SIZES = {'large': 11, 'small': 3, 'middle': 5}


class Pictures(BaseDataset):
    """Some samples without content."""

    def __init__(self, number):
        self.number = number
        super().__init__()

    def load_data_list(self):
        return [{'img_path': f'{index}.png'} for index in range(self.number)]


@pytest.fixture(scope='module')
def dataset(planted_parts):
    return ConcatDataset(planted_parts, domains=[*SIZES])


@pytest.fixture(scope='module')
def planted_parts():
    return [Pictures(size) for size in SIZES.values()]


def domain_of(index):
    return 'large' if index < 11 else 'small' if index < 14 else 'middle'


def draws(sampler, number):
    return [*islice(iter(sampler), number)]


def test_the_domains_come_in_turn(dataset):
    found = draws(DomainSampler(dataset, seed=3), 60)
    assert [domain_of(index) for index in found] == [*SIZES] * 20


def test_each_pass_has_every_image_of_its_domain_once(dataset):
    found = draws(DomainSampler(dataset, seed=3), 3 * 55)
    for place, (_, size) in enumerate(SIZES.items()):
        own = found[place::3]
        passes = [own[start : start + size] for start in range(0, 55 - size + 1, size)]
        assert all(len({*images}) == size for images in passes)
        if size > 3:
            assert passes[0] != passes[1]


def test_the_seed_decides_and_an_iteration_begins_anew(dataset):
    sampler = DomainSampler(dataset, seed=3)
    assert draws(sampler, 50) == draws(sampler, 50)
    assert draws(sampler, 50) == draws(DomainSampler(dataset, seed=3), 50)
    assert draws(sampler, 50) != draws(DomainSampler(dataset, seed=4), 50)


def test_ranks_take_the_rounds_in_turn(dataset, monkeypatch):
    whole = draws(DomainSampler(dataset, seed=3), 36)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, 2))
        shares.append(draws(DomainSampler(dataset, seed=3), 18))
    rounds = [shares[r % 2][r // 2 * 3 : r // 2 * 3 + 3] for r in range(12)]
    assert [index for one in rounds for index in one] == whole


def test_a_subset_keeps_its_domains(dataset):
    subset = Subset(dataset, [0, 1, 11, 15, 16, 18])
    found = draws(DomainSampler(subset, seed=0), 30)
    assert [domain_of(subset.indices[index]) for index in found] == [*SIZES] * 10
    assert {*found} == {*range(6)}


def test_it_counts_as_endless(dataset):
    assert isinstance(DomainSampler(dataset), InfiniteSampler)


def test_a_domain_without_images_is_named(dataset):
    with pytest.raises(InputError, match='the domain small has no images'):
        DomainSampler(Subset(dataset, [0, 1, 15]))


def test_images_of_no_domain_are_refused(planted_parts):
    with pytest.raises(InputError, match='images of no domain'):
        DomainSampler(ConcatDataset(planted_parts))


def test_batches_must_have_as_many_of_each(dataset):
    sampler = DomainSampler(dataset)
    sampler.check_batch(6)
    with pytest.raises(InputError, match=r'batch_size 8: .*3 domains.*multiple'):
        sampler.check_batch(8)
