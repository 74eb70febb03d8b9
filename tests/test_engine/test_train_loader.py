"""Samples that follow from the seed and their place in the training alone."""

import itertools
import pickle
import random

import mmengine.dataset.sampler
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset

from mmbmtas.engine.randomness import Stream, seed_all, seeded
from mmbmtas.engine.runner import train_loader
from mmbmtas.engine.runner.train_loader import (
    Draw,
    NumberedSampler,
    SeededSamples,
    batches,
    build_train_loader,
    whole_batches,
)


def draw_all():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


class Noise(torch.utils.data.Dataset):
    """Gives each image's number, and what the three generators draw for it."""

    metainfo = {'classes': {}}  # noqa: RUF012

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return {'inputs': torch.tensor([index, *draw_all()], dtype=torch.float64)}


class Run:
    """What a loader needs of a runner."""

    build_dataloader = staticmethod(Runner.build_dataloader)

    def __init__(self, seed=0):
        self.seed = seed
        self._randomness_cfg = {'seed': seed}


def build(seed=0, stream=Stream.SAMPLES, sampler='DefaultSampler', dataset=None, **options):
    cfg = {
        'dataset': dataset or Noise(),
        'sampler': {'type': sampler, 'shuffle': True},
        'batch_size': 2,
        'num_workers': 0,
        'collate_fn': {'type': 'default_collate'},
        **options,
    }
    return build_train_loader(Run(seed), cfg, stream)


def take(loader, epoch=0, start=0, count=5):
    found = [batch['inputs'] for batch in itertools.islice(batches(loader, epoch, start), count)]
    return torch.cat(found)


def test_streams_have_nothing_in_common():
    places = [(0, Stream.SAMPLES, 1), (0, Stream.SAMPLES, 2), (1, Stream.SAMPLES, 1)]
    places += [(0, Stream.ITERATION, 1), (1, Stream.ITERATION, 0), (0, Stream.ARCH_SAMPLES, 1)]
    drawn = []
    for place in places:
        seed_all(*place)
        first = draw_all()
        seed_all(*place)
        assert draw_all() == first
        drawn += first
    assert len({*drawn}) == 3 * len(places)


def test_drawing_within_leaves_the_generators_as_they_were():
    seed_all(3, Stream.ITERATION, 0)
    expected = draw_all()
    seed_all(3, Stream.ITERATION, 0)
    with seeded(5, Stream.SAMPLES, 0, 1):
        assert draw_all() != expected
    assert draw_all() == expected


@pytest.mark.parametrize('options', [{'num_workers': 1}, {'num_workers': 3}])
@pytest.mark.parametrize('persistent', [False, True])
def test_workers_make_no_difference(options, persistent):
    expected, loader = build(), build(**options, persistent_workers=persistent)
    for epoch in (0, 1, 4):
        np.random.seed(epoch)  # what else was drawn does not count
        assert torch.equal(take(loader, epoch), take(expected, epoch))


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_a_pass_goes_on_from_any_batch(sampler):
    for start in range(5):
        expected = take(build(sampler=sampler), epoch=0)[2 * start :]
        assert torch.equal(take(build(sampler=sampler), start=start)[: len(expected)], expected)


def test_every_pass_seed_and_stream_draws_anew():
    drawn = [
        take(build(), 0),
        take(build(), 1),
        take(build(seed=1), 0),
        take(build(stream=Stream.ARCH_SAMPLES), 0),
    ]
    for values in drawn:
        assert sorted(values[:, 0].tolist()) == [*range(10)]
    assert len({*torch.cat(drawn)[:, 1:].flatten().tolist()}) == 4 * 10 * 3


def test_two_ranks_together_draw_what_one_process_draws(monkeypatch):
    """The joint batch has the same images with the same augmentations."""
    expected = take(build(batch_size=2), count=5).view(5, 2, 4)
    parts = []
    for rank in range(2):
        for module in (train_loader, mmengine.dataset.sampler):
            monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, 2))
        parts.append(take(build(batch_size=1), count=5).view(5, 1, 4))
    assert torch.equal(torch.cat(parts, dim=1), expected)


@pytest.mark.parametrize(('images', 'batch', 'ranks'), [(11, 4, 4), (159, 8, 4), (16, 4, 2)])
def test_any_number_of_ranks_has_the_batches_of_one_process(images, batch, ranks, monkeypatch):
    """Samplers may fill up to one more, whose images a single process leaves out."""
    for module in (train_loader, mmengine.dataset.sampler):
        monkeypatch.setattr(module, 'get_dist_info', lambda: (1, ranks))
    loader = build(dataset=range(images), batch_size=batch // ranks, drop_last=True)
    assert whole_batches(loader) == images // batch <= len(loader)


def test_only_what_is_asked_for_is_loaded(monkeypatch):
    seen = []
    monkeypatch.setattr(Noise, '__getitem__', lambda _, index: seen.append(index) or {'inputs': 0})
    assert len([*batches(build(), 0, 3)]) == 2
    assert len(seen) == 4


def test_a_sampler_of_batches_is_gone_through():
    """It may group images as it likes, so batches before the first are loaded and dropped."""
    sampler = DefaultSampler(Noise(), seed=0)
    grouped = [[0, 1, 2], [3], [4, 5]]

    class Groups(torch.utils.data.Sampler):
        sampler = None

        def __iter__(self):
            yield from grouped

    Groups.sampler = sampler
    loader = DataLoader(Noise(), batch_sampler=Groups())
    (last,) = batches(loader, 0, 2)
    assert last['inputs'][:, 0].tolist() == [4, 5]


def test_a_loader_is_taken_as_it_is():
    loader = DataLoader(Noise())
    assert build_train_loader(Run(), loader) is loader
    assert len([*batches(loader, 0, 4)]) == 6


def test_a_data_set_remains_what_it_is():
    split = Subset(Noise(), [3, 1, 2])
    split.metainfo = {'classes': {'a': 1}}
    samples = SeededSamples(split, 0, Stream.SAMPLES)
    assert (len(samples), samples.metainfo, samples.indices) == (
        3,
        {'classes': {'a': 1}},
        [3, 1, 2],
    )
    assert samples[1]['inputs'][0] == 1
    (found,) = samples.__getitems__([0])
    assert found['inputs'][0] == 3
    assert not hasattr(samples, 'lost')
    copy = pickle.loads(pickle.dumps(samples))
    assert (len(copy), copy.seed) == (3, 0)


def test_draws_reach_other_processes():
    sampler = NumberedSampler({'type': 'InfiniteSampler', 'shuffle': False}, Noise(), 0)
    draws = [*itertools.islice(sampler, 12)]
    copies = pickle.loads(pickle.dumps(draws))
    assert copies == draws == [*range(10), 0, 1]
    assert [draw.place for draw in copies] == [(0, number) for number in range(12)]
    assert {type(draw) for draw in copies} == {Draw}
    assert isinstance(sampler.sampler, InfiniteSampler)
