"""Losses against their formulas, and where a batch has nothing to learn from."""

import json

import pytest
import torch
from torch.nn import functional as F

from mmbmtas.cost import (
    expected_cost,
    expected_madds,
    recursive_expected_madds,
    sampled_expected_cost,
    sampled_expected_madds,
)
from mmbmtas.errors import InputError
from mmbmtas.losses import BalancedBCELoss, DepthL1Loss, NormalsL1Loss, ResourceLoss


def binary_batch(seed=0, positives=0.3):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randn(2, 1, 6, 5, generator=generator)
    target = (torch.rand(2, 6, 5, generator=generator) < positives).long()
    target[0, :2] = 255
    return pred, target


def normals_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randn(2, 3, 6, 5, generator=generator)
    target = F.normalize(torch.randn(2, 3, 6, 5, generator=generator), dim=1)
    target[0, :, :2] = 0
    return pred, target


def depth_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randn(2, 1, 6, 5, generator=generator)
    target = torch.rand(2, 6, 5, generator=generator) + 0.5
    target[0, :2] = 0
    return pred, target


class TestBalancedBCE:
    @pytest.mark.parametrize('w', [0.95, 0.8, 0.0, 1.0, None])
    def test_formula(self, w):
        pred, target = binary_batch()
        p, y = pred[:, 0].sigmoid()[target != 255], target[target != 255].float()
        share = float((y == 0).float().mean()) if w is None else w
        entropy = -(y * p.log() + (1 - y) * (1 - p).log())
        expected = (share * y * entropy + (1 - share) * (1 - y) * entropy).mean()
        loss = BalancedBCELoss(w, loss_weight=50.0)(pred, target)
        torch.testing.assert_close(loss, 50 * expected)

    def test_share_of_negatives_is_the_batchs(self):
        target = torch.tensor([[[0, 0, 1, 255]], [[0, 1, 1, 255]]])
        pred = torch.zeros(2, 1, 1, 4)  # every entropy is log 2
        loss = BalancedBCELoss()(pred, target)
        expected = torch.tensor(2.0).log() * (3 * 0.5 + 3 * 0.5) / 6
        torch.testing.assert_close(loss, expected)

    @pytest.mark.parametrize('value', [0, 1])
    @pytest.mark.parametrize('w', [None, 0.95])
    def test_one_class_only(self, value, w):
        pred = torch.randn(2, 1, 4, 4, requires_grad=True)
        loss = BalancedBCELoss(w)(pred, torch.full((2, 4, 4), value))
        loss.backward()
        assert loss.isfinite()
        assert pred.grad.isfinite().all()
        if w is None:  # balanced weights leave nothing of a single class
            assert loss == 0

    def test_another_ignore_index(self):
        pred, target = binary_batch()
        other = target.where(target != 255, torch.tensor(9))
        loss = BalancedBCELoss()
        torch.testing.assert_close(loss(pred, other, ignore_index=9), loss(pred, target))

    def test_extreme_logits(self):
        pred = torch.tensor([1e4, -1e4]).view(1, 1, 1, 2)
        loss = BalancedBCELoss(0.5)
        assert loss(pred, torch.tensor([[[1, 0]]])) == 0
        assert loss(pred, torch.tensor([[[0, 1]]])) == pytest.approx(0.5e4)

    @pytest.mark.parametrize('w', [-0.1, 1.1])
    def test_weight_out_of_range(self, w):
        with pytest.raises(ValueError, match='positive_weight'):
            BalancedBCELoss(w)


def test_normals_are_summed_over_channels_and_averaged_over_pixels():
    pred, target = normals_batch()
    unit = pred / pred.norm(dim=1, keepdim=True)
    valid = target.norm(dim=1) > 0
    expected = (unit - target).abs().sum(dim=1)[valid].sum() / valid.sum()
    torch.testing.assert_close(NormalsL1Loss(loss_weight=10.0)(pred, target), 10 * expected)
    mean = (unit - target).abs().permute(0, 2, 3, 1)[valid].mean()
    torch.testing.assert_close(NormalsL1Loss()(pred, target), 3 * mean)


def test_normals_of_any_length_are_as_good():
    _, target = normals_batch()
    assert NormalsL1Loss()(7 * target, target) == pytest.approx(0, abs=1e-6)


def test_axis_aligned_normals_are_valid():
    target = torch.zeros(1, 3, 1, 2)
    target[0, 2, 0, 0] = -1
    pred = torch.zeros(1, 3, 1, 2)
    pred[:, 0] = 5
    assert NormalsL1Loss()(pred, target) == pytest.approx(2)


def test_depth_is_averaged_over_measured_pixels():
    pred, target = depth_batch()
    expected = (pred[:, 0] - target).abs()[target > 0].mean()
    torch.testing.assert_close(DepthL1Loss(loss_weight=2.0)(pred, target), 2 * expected)


def test_values_below_zero_count_and_what_is_ignored_is_a_setting():
    target = torch.tensor([[[-2.0, 0.0, 5.0, -9999.0]]])
    pred = torch.tensor([[[[1.0, 4.0, 5.0, 7.0]]]])
    assert DepthL1Loss()(pred, target) == pytest.approx((3 + 0 + 10006) / 3)
    assert DepthL1Loss(ignore=-9999)(pred, target) == pytest.approx((3 + 4 + 0) / 3)
    assert DepthL1Loss(ignore=None)(pred, target) == pytest.approx((3 + 4 + 0 + 10006) / 4)
    with pytest.raises(InputError, match='ignore of DepthL1Loss'):
        DepthL1Loss(ignore='none')


def test_depth_that_is_not_a_number_is_not_measured():
    pred, target = depth_batch()
    value = DepthL1Loss()(pred, target)
    pred.requires_grad_()
    target[0, :2] = float('nan')
    again = DepthL1Loss()(pred, target)
    again.backward()
    torch.testing.assert_close(again, value)
    assert pred.grad.isfinite().all()


CASES = [
    (BalancedBCELoss(), binary_batch, 255),
    (BalancedBCELoss(0.95), binary_batch, 255),
    (NormalsL1Loss(), normals_batch, 0),
    (DepthL1Loss(), depth_batch, 0),
]
each_loss = pytest.mark.parametrize(
    ('loss', 'make', 'ignored'), CASES, ids=['saliency', 'edge', 'normals', 'depth']
)


@each_loss
class TestEveryLoss:
    def test_no_valid_pixel(self, loss, make, ignored):
        pred, target = make()
        pred.requires_grad_()
        value = loss(pred, torch.full_like(target, ignored))
        value.backward()
        assert value == 0
        assert (pred.grad == 0).all()

    @pytest.mark.parametrize('broken', [float('nan'), float('inf'), -float('inf'), 1e38])
    def test_ignored_pixels_count_for_nothing(self, loss, make, ignored, broken):
        pred, target = make()
        value = loss(pred, target)
        spoilt = pred.clone()
        spoilt[0, :, :2] = broken
        spoilt.requires_grad_()
        again = loss(spoilt, target)
        again.backward()
        torch.testing.assert_close(again, value)
        assert (spoilt.grad[0, :, :2] == 0).all()
        assert spoilt.grad.isfinite().all()

    def test_gradients(self, loss, make, ignored):
        pred, target = make()
        target = target.double() if target.is_floating_point() else target
        pred = pred.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: loss(x, target), pred)

    def test_pixel_weights(self, loss, make, ignored):
        pred, target = make()
        torch.testing.assert_close(
            loss(pred, target, weight=torch.full(pred[:, 0].shape, 2.0)), 2 * loss(pred, target)
        )

    def test_name_is_one_that_is_minimised(self, loss, make, ignored):
        assert loss.loss_name.startswith('loss_')
        assert type(loss)(loss_name='loss_other').loss_name == 'loss_other'


class TestResourceLoss:
    madds = (300_000_000, 200_000_000, 500_000_000)

    def probs(self, requires_grad=False):
        torch.manual_seed(0)
        return torch.randn(3, 2, 2).softmax(-1).requires_grad_(requires_grad)

    @pytest.mark.parametrize('weight', [0.05, 0.5, 3])
    def test_weight_times_expectation_in_billions(self, weight):
        probs = self.probs()
        expected = weight * expected_madds(probs, [m / 1e9 for m in self.madds])
        torch.testing.assert_close(ResourceLoss(weight)(probs, self.madds, 123), expected)

    def test_the_papers_recursion_by_name(self):
        probs = torch.randn(4, 3, 3).softmax(-1)
        madds = (1, 2, 3, 4)
        loss = ResourceLoss(1.0, 'recursive')(probs, madds)
        expected = recursive_expected_madds(probs, [m / 1e9 for m in madds])
        torch.testing.assert_close(loss, expected)
        assert loss > ResourceLoss(1.0)(probs, madds)

    def test_the_estimate_of_many_tasks_by_name(self):
        probs, madds = torch.randn(3, 20, 20).softmax(-1), (1e9, 2e9, 3e9)
        torch.manual_seed(4)
        loss = ResourceLoss(0.5, 'sampled')(probs, madds)
        torch.manual_seed(4)
        expected = 0.5 * sampled_expected_madds(probs, [1.0, 2.0, 3.0])
        torch.testing.assert_close(loss, expected)
        routing = probs.argmax(-1).tolist()
        paths = [tuple(row[t] for row in routing) for t in range(20)]
        tree = sum((n + 1) * 1e9 * len({p[: n + 1] for p in paths}) for n in range(3))
        held = ResourceLoss(1.0, 'sampled', target_madds=tree / 2, budgeted='argmax')
        assert float(held(probs, madds)) == pytest.approx(1, rel=1e-6)

    @pytest.mark.parametrize(('expectation', 'most'), [('exact', 16), ('recursive', 7)])
    def test_too_many_tasks_are_refused_early(self, expectation, most):
        loss = ResourceLoss(0.5, expectation)
        loss.check_tasks(most)
        with pytest.raises(ValueError, match=f'at most {most}: set resource_loss.expectation'):
            loss.check_tasks(most + 1)
        ResourceLoss(0.5, 'sampled').check_tasks(64)
        ResourceLoss(0.0, expectation).check_tasks(64)  # nothing to compute

    @pytest.mark.parametrize('target', [0.5e9, 1.7e9, 5e9])
    def test_relative_deviation_from_a_target(self, target):
        probs, fixed = self.probs(), 250_000_000
        size = float(expected_madds(probs, self.madds)) + fixed
        loss = ResourceLoss(2.0, target_madds=target)(probs, self.madds, fixed)
        assert float(loss) == pytest.approx(2 * abs(size / target - 1), rel=1e-5)

    def test_pulls_towards_the_target_from_both_sides(self):
        slopes = []
        for target in (1e8, 1e10):
            logits = torch.zeros(3, 2, 2)
            logits[:, 0, 0] = 1
            logits.requires_grad_()
            ResourceLoss(1.0, target_madds=target)(logits.softmax(-1), self.madds).backward()
            slopes.append(logits.grad)
        assert slopes[0].abs().sum() > 0
        torch.testing.assert_close(slopes[0] / slopes[0].norm(), -slopes[1] / slopes[1].norm())

    @pytest.mark.parametrize('expectation', ['exact', 'recursive'])
    def test_a_budget_of_the_most_probable_tree(self, expectation):
        logits = torch.tensor([[[2.0, 0.0], [1.0, 0.5]]] * 3, requires_grad=True)  # shared so far
        shared = sum(self.madds)
        expected = expected_madds(logits.softmax(-1), self.madds)
        target = (shared + expected.item()) / 2  # the tree is below it, the expectation above
        loss = ResourceLoss(2.0, expectation, target_madds=target, budgeted='argmax')
        value = loss(logits.softmax(-1), self.madds)
        assert float(value) == pytest.approx(2 * (1 - shared / target), rel=1e-6)
        (slope,) = torch.autograd.grad(value, logits, retain_graph=True)
        (of_expected,) = torch.autograd.grad(expected, logits)
        torch.testing.assert_close(slope, -2 / target * of_expected)

    @pytest.mark.parametrize('expectation', ['exact', 'recursive'])
    def test_a_budget_of_a_tree_whose_tasks_agree_again(self, expectation):
        routing = torch.tensor([[0, 0, 1], [2, 2, 2], [1, 1, 1]])  # {0, 1}{2} from layer 0 on
        madds, fixed = (1_000_000_000, 2_000_000_000, 4_000_000_000), 500_000_000
        tree = 2 * sum(madds) + fixed
        loss = ResourceLoss(1.0, expectation, target_madds=tree / 2, budgeted='argmax')
        probs = (3.0 * torch.nn.functional.one_hot(routing, 3)).softmax(-1)
        assert float(loss(probs, madds, fixed)) == pytest.approx(1, rel=1e-6)

    @pytest.mark.parametrize(('share', 'penalty'), [(0.5, 2.0), (0.8, 0.5), (1.0, 0.0), (2.0, 0.0)])
    def test_a_limit_only_counts_what_exceeds_it(self, share, penalty):
        probs = self.probs()
        size = float(expected_madds(probs, self.madds))
        loss = ResourceLoss(2.0, target_madds=share * size, at_most=True)(probs, self.madds)
        assert float(loss) == pytest.approx(penalty, rel=1e-5, abs=1e-6)

    @pytest.mark.parametrize(
        ('cost', 'about', 'at_most'),
        [
            (104e6, None, None),
            (96e6, None, None),
            (106e6, '6.0% above target_madds=1e+08 multiply-adds', ...),
            (90e6, '10.0% below target_madds=1e+08 multiply-adds', None),
        ],
    )
    def test_misses_of_a_budget_are_told(self, cost, about, at_most):
        assert ResourceLoss(1.0, target_madds=1e8).describe_miss(cost) == about
        limit = ResourceLoss(1.0, target_madds=1e8, at_most=True)
        assert limit.describe_miss(cost) == (about if at_most is ... else at_most)
        assert ResourceLoss(1.0).describe_miss(cost) is None

    @pytest.mark.parametrize('target', [None, 1e9])
    def test_without_weight_it_is_nothing(self, target):
        probs = self.probs(requires_grad=True)
        loss = ResourceLoss(0.0, target_madds=target)(probs, self.madds)
        loss.backward()  # it may be the only loss of an architecture iteration
        assert loss == 0
        assert (probs.grad == 0).all()

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            ({'expectation': 'guess'}, "expectation 'guess': expected one of"),
            ({'budgeted': 'mean'}, "budgeted 'mean': expected 'expected' or 'argmax'"),
            ({'weight': -1}, 'weight -1'),
            ({'weight': float('nan')}, 'weight nan of the resource loss: expected lambda'),
            ({'weight': '0.5'}, "weight '0.5' of the resource loss"),
            ({'target_madds': '80M'}, "target_madds '80M' of the resource loss: expected multiply"),
            ({'target_madds': 10**400}, 'target_madds 1000'),
            ({'target_madds': 0}, 'target_madds 0'),
            ({'target_madds': -5e9}, 'target_madds -5'),
            ({'at_most': True}, 'at_most=True of the resource loss needs a limit: set'),
            ({'target_latency_ms': 3}, 'target_latency_ms 3 needs a table, latency=FILE.json'),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ResourceLoss(**arguments)


class TestResourceLossOfLatency:
    tasks = ('semseg', 'normals', 'edge')

    @pytest.fixture
    def table(self, toys):
        return toys.latency_table(self.tasks)

    def probs(self, bias=0.0):
        logits = torch.randn(18, 3, 3, generator=torch.Generator().manual_seed(3))
        logits[..., 0] += bias
        return logits.softmax(-1)

    def test_weight_times_expectation_in_milliseconds(self, table):
        loss = ResourceLoss(0.5, latency=table)
        expected = 0.5 * expected_cost(self.probs(), table['layers_ms'])
        # Multiply-adds play no part.
        torch.testing.assert_close(loss(self.probs(), [7] * 18, 123), expected)

    def test_from_a_file(self, table, tmp_path):
        (tmp_path / 'latency.json').write_text(json.dumps(table))
        one, other = (ResourceLoss(1.0, latency=x) for x in (table, tmp_path / 'latency.json'))
        assert one(self.probs(), []) == other(self.probs(), [])
        with pytest.raises(FileNotFoundError, match=r'lost\.json'):
            ResourceLoss(1.0, latency=str(tmp_path / 'lost.json'))

    def test_the_estimate_by_name(self, table):
        torch.manual_seed(4)
        loss = ResourceLoss(0.5, 'sampled', latency=table)(self.probs(), [])
        torch.manual_seed(4)
        expected = 0.5 * sampled_expected_cost(self.probs(), table['layers_ms'])
        torch.testing.assert_close(loss, expected)

    def test_target_of_the_whole_network(self, table):
        fixed = table['stem_ms'] + sum(table['decoders_ms'].values())
        time = float(expected_cost(self.probs(), table['layers_ms'])) + fixed
        loss = ResourceLoss(2.0, latency=table, target_latency_ms=50)(self.probs(), [])
        assert float(loss) == pytest.approx(2 * abs(time / 50 - 1), rel=1e-5)

    def test_a_budget_of_the_most_probable_tree(self, table):
        loss = ResourceLoss(
            1.0, latency=table, target_latency_ms=50, budgeted='argmax', expectation='sampled'
        )
        probs = self.probs(bias=1.0)
        routing = probs.argmax(-1).tolist()
        copies = [len(set(zip(*routing[: n + 1], strict=True))) for n in range(18)]
        fixed = table['stem_ms'] + sum(table['decoders_ms'].values())
        layers = sum(row[n - 1] for row, n in zip(table['layers_ms'], copies, strict=True))
        assert len(set(copies)) > 1
        assert float(loss(probs, [])) == pytest.approx(abs((fixed + layers) / 50 - 1), rel=1e-5)

    def test_too_many_tasks_are_refused_early(self, table):
        with pytest.raises(ValueError, match=r"11 tasks.* at most 10: set .*'sampled'"):
            ResourceLoss(1.0, latency=table).check_tasks(11)
        ResourceLoss(1.0, 'sampled', latency=table).check_tasks(64)

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            ({'expectation': 'recursive'}, r"expected one of \['exact', 'sampled'\] for latency"),
            ({'target_madds': 1e9}, 'set target_latency_ms instead'),
            ({'target_latency_ms': 0}, 'target_latency_ms 0 .*: expected milliseconds above 0'),
            ({'latency': ['table']}, 'document: found .*, expected a JSON object'),
        ],
    )
    def test_bad_arguments(self, table, arguments, message):
        with pytest.raises(ValueError, match=message):
            ResourceLoss(1.0, **{'latency': table, **arguments})
