import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from mmbmtas.errors import InputError
from mmbmtas.evaluation import OdsF
from mmbmtas.evaluation.edges import (
    EdgeProtocol,
    count_matches,
    edge_scores,
    evaluation_truth,
    precision_recall,
    protocol_of,
    suppress_non_maxima,
)
from mmbmtas.evaluation.edges.matching import (
    GrowingMatching,
    assign,
    matching_size,
    pairs_within,
)
from mmbmtas.structures.boundaries import thin

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
FEW = (0.25, 0.5, 0.75)


def scene(seed, size=(48, 64)):
    """A label map of smooth blobs and an imperfect 8-bit prediction of its boundaries."""
    rng = np.random.default_rng(seed)
    fields = gaussian_filter(rng.normal(size=(4, *size)), (0, 5, 5))
    labels = fields.argmax(axis=0)
    soft = gaussian_filter(evaluation_truth(labels).astype(float), 1)
    noise = gaussian_filter(rng.uniform(size=size), 1)
    prediction = soft / max(soft.max(), 1e-9) * 0.7 + 0.3 * noise
    return labels, (prediction.clip(0, 1) * 255).astype(np.uint8)


# --- Non-maximum suppression ------------------------------------------------------------------


def test_nms_keeps_the_ridge_and_nothing_beside_it():
    x = np.arange(40)
    ridge = np.exp(-((x - 20) ** 2) / 8)[None].repeat(30, axis=0)
    kept = suppress_non_maxima(ridge)
    assert (kept[5:-5, 20] == 1).all()
    assert not kept[:, 18].any()
    assert not kept[:, 22].any()


def test_nms_fades_towards_the_border():
    kept = suppress_non_maxima(np.ones((20, 20)))
    np.testing.assert_allclose(kept[10, :6], [0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(kept[10, -6:], [1, 0.8, 0.6, 0.4, 0.2, 0])
    assert kept[1, 1] == pytest.approx(0.04)


@pytest.mark.parametrize('degrees', [20, 45, 70, 110, 135, 160])
def test_nms_thins_slanted_ridges_to_about_one_pixel(degrees):
    angle = math.radians(degrees)
    y, x = np.mgrid[:61, :61] - 30
    kept = suppress_non_maxima(np.exp(-((x * math.cos(angle) + y * math.sin(angle)) ** 2) / 8))
    disc = x**2 + y**2 < 20**2
    distance = np.abs(x * math.cos(angle) + y * math.sin(angle))
    assert (distance[(kept > 0) & disc & (distance < 5)] <= 1).all()
    length = 40 * max(abs(math.cos(angle)), abs(math.sin(angle)))
    assert (kept[disc & (distance < 1)] > 0).sum() >= 0.9 * length


def reference_nms(edges):
    """The protocol pixel by pixel, from its description."""
    height, width = edges.shape
    triangle = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25
    smooth = convolve2d(np.pad(edges, 4, 'symmetric'), np.outer(triangle, triangle), 'valid')
    y_1, x_1 = np.gradient(smooth)
    y_y, x_y = np.gradient(y_1)
    _, x_x = np.gradient(x_1)
    kept = np.zeros_like(edges)
    for y, x in itertools.product(range(height), range(width)):
        ratio = y_y[y, x] * np.sign(-x_y[y, x]) / (x_x[y, x] + 1e-5)
        angle = math.atan(ratio) % math.pi
        survives = True
        for side in (-1, 1):
            at_y = min(max(y + side * math.sin(angle), 0), height - 1)
            at_x = min(max(x + side * math.cos(angle), 0), width - 1)
            y_0, x_0 = min(int(at_y), height - 2), min(int(at_x), width - 2)
            b, a = at_y - y_0, at_x - x_0
            around = edges[y_0 : y_0 + 2, x_0 : x_0 + 2]
            survives &= 1.01 * edges[y, x] >= np.array([1 - b, b]) @ around @ np.array([1 - a, a])
        fade = [min(i, n - 1 - i, 5) / 5 for i, n in ((y, height), (x, width))]
        kept[y, x] = survives * edges[y, x] * fade[0] * fade[1]
    return kept


@pytest.mark.parametrize('seed', range(3))
def test_nms_equals_the_protocol_pixel_by_pixel(seed):
    # Noise, as rounding decides the direction where a derivative is 0.
    noise = np.random.default_rng(seed).uniform(0, 1e-3, (26, 31))
    edges = scene(seed, (26, 31))[1] / 255 + noise
    np.testing.assert_allclose(suppress_non_maxima(edges), reference_nms(edges), atol=1e-12)


def test_nms_of_nothing_is_nothing():
    assert not suppress_non_maxima(np.zeros((10, 12))).any()


# --- Matching ---------------------------------------------------------------------------------


def brute_force_size(candidates, truth, tolerance):
    """Kuhn's algorithm on explicit distances, written for clarity."""
    rows, columns = np.argwhere(candidates), np.argwhere(truth)
    distances = np.linalg.norm(rows[:, None] - columns, axis=-1)
    owner = {}

    def augment(row, seen):
        for column in range(len(columns)):
            if distances[row, column] <= tolerance and column not in seen:
                seen.add(column)
                if column not in owner or augment(owner[column], seen):
                    owner[column] = row
                    return True
        return False

    return sum(augment(row, set()) for row in range(len(rows)))


@settings(max_examples=60)
@given(hnp.arrays(bool, (4, 7, 8)), st.sampled_from([0.5, 1.0, 1.5, 2.0, 2.9, 5.0]))
def test_matching_equals_brute_force(masks, tolerance):
    *maps, truth = masks
    candidates = np.any(maps, axis=0)
    pairs = pairs_within(candidates, truth, tolerance)
    growing = GrowingMatching(pairs)
    for mask in maps:
        expected = brute_force_size(mask, truth, tolerance)
        assert growing.update(mask[candidates]) == expected
        assert matching_size(pairs[mask[candidates]]) == expected


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_growing_matching_equals_one_built_anew(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(size=(24, 30)) < 0.15
    candidates = rng.uniform(size=(24, 30)) < 0.4
    pairs = pairs_within(candidates, truth, 2.3)
    growing = GrowingMatching(pairs)
    present = np.zeros(pairs.shape[0], dtype=bool)
    for _ in range(12):
        present ^= rng.uniform(size=present.size) < rng.choice([0.02, 0.2, 0.5])
        assert growing.update(present) == matching_size(pairs[present])


@settings(max_examples=30)
@given(hnp.arrays(bool, (2, 6, 6)), st.sampled_from([1.0, 1.5, 2.3]))
def test_assignment_matches_as_many_within_tolerance(masks, tolerance):
    pairs = pairs_within(*masks, tolerance)
    assert assign(pairs, tolerance).sum() == matching_size(pairs)


@pytest.mark.parametrize('shift', range(7))
@pytest.mark.parametrize('nms', [True, False])
def test_a_shifted_line_is_matched_within_the_tolerance_inclusive(shift, nms):
    prediction, truth = np.zeros((2, 60, 80), dtype=np.uint8)
    prediction[5:-5, 40 + shift] = 255
    truth[5:-5, 40] = 1
    protocol = EdgeProtocol(max_dist=4 / 100, nms=nms)  # The diagonal is 100, R = 4.
    counts = count_matches(prediction, [truth], protocol)[50]
    assert counts[1] == 50
    assert (counts[0] > 0.8 * 50) == (shift <= 4)
    if not nms:
        assert counts.tolist() == ([50] * 4 if shift <= 4 else [0, 50, 0, 50])


def test_a_doubled_line_is_matched_once():
    prediction, truth = np.zeros((2, 60, 80), dtype=np.uint8)
    prediction[5:-5, [38, 42]] = 255
    truth[5:-5, 40] = 1
    counts = count_matches(prediction, [truth], EdgeProtocol(0.04, nms=False, thresholds=(0.5,)))
    assert counts.tolist() == [[50, 50, 50, 100]]


def test_threshold_is_strict_on_eight_bit_values():
    prediction, truth = np.zeros((2, 30, 40), dtype=np.uint8)
    prediction[10:20, 20] = 51  # 0.2 exactly
    truth[10:20, 20] = 1
    counts = count_matches(prediction, [truth], EdgeProtocol(0.01, False, (0.19, 0.2)))
    assert counts[:, 3].tolist() == [10, 0]


def test_several_truths_sum_recall_and_count_a_prediction_once():
    labels, prediction = scene(1)
    truth = evaluation_truth(labels)
    protocol = EdgeProtocol(0.02, thresholds=FEW)
    one = count_matches(prediction, [truth], protocol)
    two = count_matches(prediction, [truth, truth], protocol)
    np.testing.assert_array_equal(two, one * [2, 2, 1, 1])
    empty = count_matches(prediction, [truth, np.zeros_like(truth)], protocol)
    np.testing.assert_array_equal(empty, one)


def test_suppressed_and_plain_maps_use_equal_matchings():
    labels, prediction = scene(2)
    truth = evaluation_truth(labels)
    counts = count_matches(prediction, [truth], EdgeProtocol(0.02))
    edges = suppress_non_maxima(prediction / 255)
    for row in (0, 9, 30, 60):
        mask = thin(edges > (row + 1) / 100)
        size = matching_size(pairs_within(mask, truth, 0.02 * 80))
        assert counts[row].tolist() == [size, truth.sum(), size, mask.sum()]


# --- Pooling ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('rule', 'precisions', 'recalls'),
    [
        ('seism', [1, 0, 0, 0, 0.5], [0, 1, 0, 1, 0.8]),
        ('bsds', [0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0.8]),
    ],
)
def test_empty_cases(rule, precisions, recalls):
    """Nothing predicted, nothing true, nothing matched, neither, and the usual case."""
    counts = np.array([[0, 5, 0, 0], [0, 0, 0, 5], [0, 5, 0, 5], [0, 0, 0, 0], [4, 5, 4, 8]])
    precision, recall, f_measure = precision_recall(counts, rule)
    np.testing.assert_allclose(precision, precisions)
    np.testing.assert_allclose(recall, recalls)
    np.testing.assert_allclose(f_measure, [0, 0, 0, 0, 2 * 0.4 / 1.3])


# True pixels matched, true pixels, predicted pixels matched, predicted pixels, at the thresholds
# 0.2, 0.4, 0.6, 0.8 of three images: a usual one, one without truth, one predicted empty from 0.6.
TABLE = np.array(
    [
        [[90, 100, 90, 300], [80, 100, 80, 120], [60, 100, 60, 70], [10, 100, 10, 10]],
        [[0, 0, 0, 40], [0, 0, 0, 10], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[30, 50, 30, 60], [20, 50, 20, 25], [0, 50, 0, 0], [0, 50, 0, 0]],
    ]
)


def scores_by_hand(rule):
    """ODS, OIS and AP of the table, in fractions from its numbers.

    F = 2 matched / (true + predicted), whatever the rule, where both sides have pixels. The first
    image is best at 0.4, the third at 0.2; in the one without truth F is 0 everywhere, and the
    lowest threshold counts, with its 40 wrong pixels.
    """
    ods = 2 * 100 / (150 + 155)
    ois = 2 * (80 + 30) / (150 + 120 + 40 + 60)
    recalls, precisions = [10 / 150, 60 / 150, 100 / 150, 120 / 150], [1, 60 / 70, 100 / 155, 0.3]
    ap, place = 0.0, 0
    for step in range(101):
        r = step / 100
        while place < 3 and r > recalls[place + 1]:
            place += 1
        if recalls[0] <= r <= recalls[3]:
            share = (r - recalls[place]) / (recalls[place + 1] - recalls[place])
            ap += precisions[place] + share * (precisions[place + 1] - precisions[place])
    return 100 * ods, 100 * ois, ap


@pytest.mark.parametrize('rule', ['seism', 'bsds'])
def test_a_table_of_counts(rule):
    scores = edge_scores([*TABLE], (0.2, 0.4, 0.6, 0.8), rule)
    ods, ois, ap = scores_by_hand(rule)
    assert scores['ods_threshold'] == 0.4
    assert (scores['odsF'], scores['OIS']) == pytest.approx((ods, ois))
    assert scores['AP'] == pytest.approx(ap)


def test_where_nothing_is_predicted_the_rules_part():
    """A fifth threshold above all predictions: precision 1 (SEISM) or 0 (BSDS500) at recall 0."""
    table = np.concatenate([TABLE[[0, 2]], [[[0, 100, 0, 0]], [[0, 50, 0, 0]]]], axis=1)
    ap = {r: edge_scores([*table], (0.2, 0.4, 0.6, 0.8, 0.9), r)['AP'] for r in ('seism', 'bsds')}
    # Between recall 0 and 10 / 150 precision is 1 throughout, or rises from 0: at 0, ..., 0.06.
    assert ap['seism'] - ap['bsds'] == pytest.approx(7 - sum(i * 0.15 for i in range(7)))


def bsds_benchmark(tables):
    """The BSDS500 benchmark's arithmetic, pixel counts to OIS and AP, number by number."""
    pooled, best = [[0, 0, 0, 0] for _ in tables[0]], [0, 0, 0, 0]

    def rates(row):
        recall = row[0] / (row[1] + (row[1] == 0))
        precision = row[2] / (row[3] + (row[3] == 0))
        total = recall + precision
        return recall, precision, 2 * recall * precision / (total + (total == 0))

    for table in tables:
        pooled = [
            [a + b for a, b in zip(*rows, strict=True)] for rows in zip(pooled, table, strict=True)
        ]
        fs = [rates(row)[2] for row in table]
        best = [a + b for a, b in zip(best, table[fs.index(max(fs))], strict=True)]
    curve = {}
    for row in pooled:
        recall, precision, _ = rates(row)
        curve.setdefault(recall, precision)
    area, places = 0.0, sorted(curve)
    for step in range(101):
        for low, high in itertools.pairwise(places):
            if low <= step / 100 <= high:
                share = (step / 100 - low) / (high - low)
                area += 0.01 * ((1 - share) * curve[low] + share * curve[high])
                break
    return max(rates(row)[2] for row in pooled), rates(best)[2], area


@given(
    hnp.arrays(np.int64, (3, 4, 4), elements=st.integers(0, 12)),
    st.sampled_from([(), (0,), (0, 1)]),
)
def test_equals_the_arithmetic_of_the_bsds_benchmark(counts, without_truth):
    counts[:, :, 1] = counts[:, :1, 1]
    counts[[*without_truth], :, 1] = 0
    counts[..., 0] = np.minimum(counts[..., 0], counts[..., 1])
    counts[..., 2] = np.minimum(counts[..., 2], counts[..., 3])
    scores = edge_scores([*counts], (0.2, 0.4, 0.6, 0.8), 'bsds')
    expected = bsds_benchmark(counts.tolist())
    found = [scores[name] / 100 for name in ('odsF', 'OIS', 'AP')]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(('dataset', 'predicted'), [('pascal', 0), ('nyud', 0), ('bsds', 10)])
def test_a_pixel_at_the_threshold(dataset, predicted):
    prediction, truth = np.zeros((2, 30, 40), dtype=np.uint8)
    prediction[10:20, 20] = 51  # 0.2 exactly
    truth[10:20, 20] = 1
    protocol = protocol_of(dataset, nms=False, thresholds=(0.2,))
    assert count_matches(prediction, [truth], protocol)[0, 3] == predicted


@pytest.mark.parametrize(
    'options',
    [
        {'dataset': 'voc'},
        *({'max_dist': value} for value in (0, -0.01, math.nan, '0.01', 2)),
        *({'thresholds': value} for value in ((), (0.5, 0.5), (0.6, 0.5), (0.5, 1.1), (math.nan,))),
    ],
)
def test_protocols_that_mean_nothing(options):
    with pytest.raises(InputError, match=f'{next(iter(options))} .*of the edge protocol'):
        protocol_of(**{'dataset': 'pascal', **options})


def test_ods_ois_and_ap_by_hand():
    first = np.array([[10, 10, 10, 20], [5, 10, 5, 5]])
    second = np.array([[10, 10, 10, 10], [0, 10, 0, 0]])
    scores = edge_scores([first, second], (0.3, 0.6))
    assert scores['odsF'] == pytest.approx(100 * 2 * 1 * (2 / 3) / (5 / 3))
    assert scores['ods_threshold'] == 0.3
    # Both images do best at 0.3: F = 2/3 = F at 0.6 for the first (lowest on a tie).
    assert scores['OIS'] == pytest.approx(scores['odsF'])
    recalls = np.arange(25, 101) / 100
    expected = np.interp(recalls, [0.25, 1], [1, 2 / 3]).sum()
    assert scores['AP'] == pytest.approx(expected)


def test_no_image_is_nan_with_a_warning():
    with pytest.warns(RuntimeWarning, match='nothing to score'):
        assert math.isnan(edge_scores([])['odsF'])


@pytest.fixture(scope='module')
def scene_counts():
    return [
        count_matches(prediction, [evaluation_truth(labels)], EdgeProtocol(0.0075))
        for labels, prediction in map(scene, range(5))
    ]


def test_ois_is_at_least_ods_and_order_does_not_matter(scene_counts):
    scores = edge_scores(scene_counts)
    assert 0 < scores['odsF'] < 100
    assert scores['OIS'] >= scores['odsF']
    for order in itertools.islice(itertools.permutations(scene_counts), 0, 120, 17):
        assert edge_scores(order) == scores


# --- The metric -------------------------------------------------------------------------------


def samples(count=3):
    for seed in range(count):
        labels, prediction = scene(seed)
        label_map = torch.from_numpy(labels)[None]
        yield dict(
            img_path=f'{seed}.jpg',
            gt_edge=dict(data=torch.from_numpy(evaluation_truth(labels)[None].astype(np.int64))),
            gt_label_map=dict(data=label_map),
            pred_edge=dict(data=torch.from_numpy((prediction[None] + 0.5) / 255).float()),
        )


def run(metric):
    evaluator = Evaluator(metric)
    for sample in samples():
        evaluator.process([sample])
    return evaluator.evaluate(3)


def test_metric_equals_the_functions(scene_counts):
    expected = edge_scores(scene_counts[:3])
    assert run(OdsF(jobs=1)) == {f'edge/{name}': value for name, value in expected.items()}


def test_nyud_takes_its_truth_from_the_edge_label():
    results = run(OdsF(dataset='nyud', jobs=1))
    counts = []
    for sample in samples():
        truth = evaluation_truth(sample['gt_edge']['data'][0].numpy())
        prediction = (sample['pred_edge']['data'][0].numpy() * 255).astype(np.uint8)
        counts.append(count_matches(prediction, [truth], EdgeProtocol(0.011)))
    assert results['edge/odsF'] == edge_scores(counts)['odsF']


def test_ignored_pixels_of_nyud_are_no_edge():
    sample = next(samples())
    plain, ignored = (sample['gt_edge']['data'].clone() for _ in range(2))
    ignored[0, :9][plain[0, :9] == 0] = 255
    results = []
    for label in (plain, ignored):
        evaluator = Evaluator(OdsF(dataset='nyud', jobs=1, thresholds=FEW))
        evaluator.process([{**sample, 'gt_edge': dict(data=label)}])
        results.append(evaluator.evaluate(1))
    assert results[0] == results[1]


@pytest.mark.slow
def test_processes_change_nothing(capfd):
    assert run(OdsF(jobs=2)) == run(OdsF(jobs=1))
    shown = capfd.readouterr()
    assert 'scoring edges: ' in shown.err
    assert not shown.out


def test_missing_label_map_says_what_to_do():
    sample = next(samples())
    del sample['gt_label_map']
    with pytest.raises(ValueError, match=r'0\.jpg.*needs the LabelMap as gt_label_map'):
        OdsF(jobs=1).process(None, [sample])
    with pytest.raises(ValueError, match="should be 'pascal' or 'nyud', not 'bsds'"):
        OdsF(dataset='bsds')


def test_metric_through_pixel_data():
    from mmbmtas.structures.data_sample import MultiTaskDataSample

    sample = MultiTaskDataSample()
    for name, field in next(samples()).items():
        if name != 'img_path':
            sample.set_field(PixelData(data=field['data']), name)
    evaluator = Evaluator([OdsF(jobs=1)])
    evaluator.process([sample])
    assert evaluator.evaluate(1)['edge/odsF'] > 0
