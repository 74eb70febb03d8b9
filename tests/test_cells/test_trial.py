"""Trials: common random numbers, no pass of the backbone, a score that follows the labels."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from mmbmtas.cells.trial import score_of
from mmbmtas.cells.worker import context_of
from mmbmtas.cost import timing
from mmbmtas.encoders import DensePredictionCell
from mmbmtas.errors import InputError
from mmbmtas.structures import DenseCell

CELL = DenseCell.from_branches(
    [
        {'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [1, 2]},
        {'input': 0, 'op': 'pyramid_pooling', 'grid_size': [2, 2]},
    ]
)


def test_two_trials_of_a_cell_agree_and_labels_matter(make_search):
    search = make_search()
    (first,) = search.trial.run(context_of(CELL))
    (second,) = search.trial.run(context_of(CELL))
    assert first == second
    assert len(first.projection) == 2
    assert first.iterations == 6
    labels = search.cache.labels['gt_saliency']
    search.cache.labels['gt_saliency'] = np.where(labels == 255, 255, 1 - labels)
    (third,) = search.trial.run(context_of(CELL))
    assert third.metrics != first.metrics


def test_trials_differ_in_the_context_module_alone(make_search):
    search = make_search()
    cell, aspp = (search.trial.build(c) for c in (context_of(CELL), search.contexts['ASPP']))
    heads = cell.decode_heads.parameters(), aspp.decode_heads.parameters()
    for one, other in zip(*heads, strict=True):
        assert torch.equal(one, other)
    assert isinstance(cell.backbone.context, DensePredictionCell)
    again = search.trial.build(context_of(CELL))
    for one, other in zip(cell.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_backbone_is_not_run(make_search):
    """Blocks of the backbone are counted by a hook on all modules; only the context module runs."""
    search, seen = make_search(), set()
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, output: seen.add(type(module).__name__)
    )
    try:
        [*search.trial.run(context_of(CELL))]
    finally:
        handle.remove()
    assert 'DensePredictionCell' in seen
    assert not seen & {'InvertedResidual', 'BranchedNetwork', 'Bottleneck'}


def test_costs_of_parts_add_up(make_search):
    search = make_search()
    rng = np.random.default_rng(0)
    for _ in range(5):
        cell = search.settings.cells.sample(rng)
        assert search.trial.madds_of_cell(cell) == search.trial.cost(context_of(cell))[0]


def test_a_module_is_timed_by_the_common_clock(make_search, monkeypatch):
    """Each look at the clock is a quarter of a second after the last; warm-up is not timed."""
    ticks = itertools.count(step=0.25)
    monkeypatch.setitem(timing.CLOCKS, 'wall', lambda: next(ticks))
    assert make_search().trial.milliseconds(context_of(CELL)) == 250


def test_rungs_continue_a_trial(make_search):
    whole = [*make_search('whole').trial.run(context_of(CELL))]
    parts = [*make_search('parts', rungs=(1 / 3, 1)).trial.run(context_of(CELL))]
    assert [outcome.iterations for outcome in parts] == [2, 6]
    assert parts[-1].metrics == whole[-1].metrics
    assert parts[-1].projection == whole[-1].projection


class TestScore:
    def test_several_tasks_count_by_delta_m(self):
        """(10 % better mIoU, 20 % worse error) / 2."""
        reference = {'semseg/mIoU': 50.0, 'normals/mean': 10.0}
        found = score_of({'semseg/mIoU': 55.0, 'normals/mean': 12.0}, reference)
        assert found == pytest.approx(-5.0)

    def test_one_task_counts_by_its_number(self):
        assert score_of({'semseg/mIoU': 41.5}, {}) == 41.5
        assert score_of({'normals/mean': 12.0}, {}) == -12.0
        assert score_of({'mIoU': 33.0, 'aAcc': 90.0}, {}) == 33.0

    def test_the_number_may_be_stated(self):
        assert score_of({'mIoU': 33.0, 'aAcc': 90.0}, {}, 'aAcc') == 90.0
        with pytest.raises(InputError, match=r"cell_search.metric 'acc': not in"):
            score_of({'mIoU': 33.0}, {}, 'acc')
        with pytest.raises(InputError, match='known as a score'):
            score_of({'speed': 1.0}, {})

    def test_a_reference_that_has_learnt_nothing_is_told(self):
        reference = {'semseg/mIoU': 0.0, 'normals/mean': 10.0}
        with pytest.raises(InputError, match='reached 0 in semseg/mIoU'):
            score_of(reference, reference)
