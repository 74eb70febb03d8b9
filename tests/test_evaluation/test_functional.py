import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, confusion_matrix, jaccard_score

from mmbmtas.evaluation import functional as F

LABELS = hnp.arrays(np.int64, (1, 6, 7), elements=st.sampled_from([0, 1, 2, 255]))
CLASSES = hnp.arrays(np.int64, (1, 6, 7), elements=st.integers(0, 2))
BINARY = hnp.arrays(np.int64, (1, 6, 7), elements=st.sampled_from([0, 1, 255]))
UNIT = hnp.arrays(np.float32, (1, 6, 7), elements=st.floats(0, 1, width=32))


@given(CLASSES, LABELS)
def test_confusion_and_iou_equal_sklearn(prediction, label):
    valid = label != 255
    if not valid.any():
        return
    confusion = F.confusion_matrix(prediction, label, 3)
    truth, predicted = label[valid], prediction[valid]
    np.testing.assert_array_equal(confusion, confusion_matrix(truth, predicted, labels=[0, 1, 2]))
    present = sorted(set(truth) | set(predicted))
    expected = jaccard_score(truth, predicted, labels=present, average='macro')
    assert F.mean_iou(confusion) == pytest.approx(100 * expected)


def test_absent_class_is_left_out_of_the_mean():
    assert F.mean_iou(np.diag([5, 5, 0])) == 100
    assert math.isnan(F.class_iou(np.diag([5, 5, 0]))[2])


@pytest.mark.parametrize('bad', [-1, 3])
def test_class_out_of_range_is_refused(bad):
    zeros = np.zeros((1, 2, 2), dtype=np.int64)
    with pytest.raises(ValueError, match=r'prediction has classes .* expected 0\.\.2'):
        F.confusion_matrix(zeros + bad, zeros, 3)
    with pytest.raises(ValueError, match='label has classes'):
        F.confusion_matrix(zeros, zeros + bad, 3)


@given(st.lists(st.tuples(UNIT, BINARY), min_size=1, max_size=3))
def test_saliency_equals_brute_force(images):
    pairs = [(p[g != 255], g[g != 255] == 1) for p, g in images if (g != 255).any()]
    if not pairs:
        return
    scores = F.saliency_scores([F.saliency_histogram(p, g) for p, g in images])

    def ratio(a, b, empty=0.0):
        return a / b if b else empty

    jaccards, f_means = [], []
    for t in np.arange(4, 19) * 0.05:
        masks = [(p > np.float32(t), g) for p, g in pairs]
        hits = [(m & g).sum() for m, g in masks]
        unions = [(m | g).sum() for m, g in masks]
        jaccards.append(np.mean([ratio(h, u, 1.0) for h, u in zip(hits, unions, strict=True)]))
        precision = np.mean([ratio(h, m.sum()) for h, (m, _) in zip(hits, masks, strict=True)])
        recall = np.mean([ratio(h, g.sum()) for h, (_, g) in zip(hits, masks, strict=True)])
        total = precision + recall
        f_means.append(2 * precision * recall / total if total else 0)
    assert scores['maxIoU'] == pytest.approx(100 * max(jaccards))
    assert scores['maxF_image_mean'] == pytest.approx(100 * max(f_means))


@pytest.mark.parametrize(
    ('images', 'empty_prediction', 'empty_truth', 'expected'),
    [(50, 10, 0, 80.0), (50, 0, 5, 90.0), (50, 5, 5, 90.0)],
)
def test_max_f_of_empty_images_is_the_published_one(
    images, empty_prediction, empty_truth, expected
):
    """Numbers of the public implementation: an empty denominator is 0."""
    foreground = np.zeros((1, 4, 4), dtype=np.int64)
    foreground[:, 1:3] = 1
    histograms = [
        F.saliency_histogram(
            foreground.astype(np.float32) * (index >= empty_prediction),
            foreground * (index >= empty_truth),
        )
        for index in range(images)
    ]
    assert F.saliency_scores(histograms)['maxF_image_mean'] == pytest.approx(expected)


def test_saliency_threshold_is_strict():
    label = np.ones((1, 1, 1), dtype=np.int64)
    just_above = np.nextafter(np.float32(0.9), np.float32(1))
    for value, exceeded in ((np.float32(0.9), 17), (just_above, 18), (0.0, 0), (1.0, 19)):
        assert F.saliency_histogram(np.full((1, 1, 1), value), label)[1, exceeded] == 1


def test_nothing_salient_anywhere_is_no_success():
    nothing = np.zeros((1, 4, 4))
    scores = F.saliency_scores([F.saliency_histogram(nothing, nothing.astype(np.int64))])
    assert scores == {'maxIoU': 100, 'maxF_image_mean': 0, 'maxF_pooled': 0}


def test_pooled_max_f_uses_beta_squared_of_three_tenths():
    label = np.array([[[1, 1, 1, 1, 0]]])
    probability = np.array([[[0.9, 0.9, 0.1, 0.1, 0.0]]], dtype=np.float32)
    only_two = 1.3 * 0.5 / (0.3 + 0.5)  # precision 1, recall 1/2
    all_four = 1.0  # above 0.05
    scores = F.saliency_scores([F.saliency_histogram(probability, label)])
    assert scores['maxF_pooled'] == pytest.approx(100 * max(only_two, all_four))
    scores = F.saliency_scores([F.saliency_histogram(probability.clip(0.01, None) - 0.06, label)])
    assert scores['maxF_pooled'] == pytest.approx(100 * only_two)


@given(UNIT, BINARY)
def test_pixel_ap_equals_sklearn_on_quantised_scores(probability, label):
    valid = label != 255
    if not (label == 1).any():
        return
    expected = average_precision_score(label[valid], F.quantise(probability)[valid])
    got = F.average_precision(F.edge_histogram(probability, label))
    assert got == pytest.approx(100 * expected, rel=1e-12)


def test_quantise_cuts_off():
    np.testing.assert_array_equal(
        F.quantise(np.array([0, 0.999 / 255, 0.5, 254.9 / 255, 1])), [0, 0, 127, 254, 255]
    )


def rotated(angles):
    angles = np.radians(angles)[None]
    return np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)])


def test_normals_closed_form():
    label = np.zeros((3, 1, 6))
    label[2] = 7.0  # Any length.
    label[:, 0, 5] = 0
    errors = F.normal_errors(3 * rotated([0, 10, 20, 29, 180, 50]), label)
    scores = F.normal_scores([errors])
    assert scores['mean'] == pytest.approx(239 / 5)
    assert scores['median'] == pytest.approx(20, abs=0.026)
    assert scores['rmse'] == pytest.approx(math.sqrt((100 + 400 + 841 + 180**2) / 5))
    assert scores['within_11.25'] == pytest.approx(40)
    assert scores['within_22.5'] == pytest.approx(60)
    assert scores['within_30'] == pytest.approx(80)


def test_small_angles_are_exact_and_zero_prediction_counts_ninety():
    label = rotated([0.0, 0.0])
    prediction = rotated([1e-7, 0.0])
    prediction[:, :, 1] = 0
    np.testing.assert_allclose(F.normal_angles(prediction, label), [1e-7, 90], rtol=1e-6)


@given(hnp.arrays(np.float64, (3, 4, 5), elements=st.floats(-1, 1)))
def test_median_is_within_half_a_bin(field):
    label = rotated(np.zeros(20)).reshape(3, 4, 5)
    angles = F.normal_angles(field, label)
    median = F.normal_scores([F.normal_errors(field, label)])['median']
    nearest = np.quantile(angles, 0.5, method='inverted_cdf')
    assert abs(median - nearest) <= F.ANGLE_BIN / 2 + 1e-9


def test_values_below_zero_are_values():
    label = np.array([[[-2.0, 0.0, 1.0, -9999.0, np.nan]]])
    prediction = np.array([[[1.0, 4.0, 2.0, 7.0, 7.0]]])
    scores = F.depth_scores([F.depth_errors(prediction, label, ignore=-9999)])
    assert scores['rmse'] == pytest.approx(math.sqrt((9 + 16 + 1) / 3))
    assert scores['abs_rel'] == pytest.approx(1.0)  # of the one above 0
    assert scores['delta3'] == 0
    scores = F.depth_scores([F.depth_errors(prediction, label, ignore=None)])
    assert scores['rmse'] == pytest.approx(math.sqrt((9 + 16 + 1 + 10006**2) / 4))
    with pytest.warns(RuntimeWarning, match='ratio'):
        scores = F.depth_scores([F.depth_errors(prediction, np.full((1, 1, 5), -1.0))])
    assert scores['rmse'] == pytest.approx(math.sqrt((4 + 25 + 9 + 64 + 64) / 5))
    assert math.isnan(scores['abs_rel'])


def test_depth_closed_form():
    label = np.array([[[2.0, 4.0, 1.0, 0.0]]])
    prediction = np.array([[[2.0, 5.0, -1.0, 99.0]]])
    scores = F.depth_scores([F.depth_errors(prediction, label)])
    assert scores['rmse'] == pytest.approx(math.sqrt((0 + 1 + 4) / 3))
    assert scores['abs_rel'] == pytest.approx((0 + 0.25 + 2) / 3)
    log_square = math.log(1.25) ** 2 + math.log(F.MIN_DEPTH) ** 2
    assert scores['log_rmse'] == pytest.approx(math.sqrt(log_square / 3))
    assert scores['delta1'] == pytest.approx(100 / 3)  # 1.25 is not under 1.25.
    assert scores['delta2'] == pytest.approx(200 / 3)


@settings(max_examples=25)
@given(st.permutations(range(6)), st.integers(0, 9))
def test_scores_do_not_depend_on_the_order(order, seed):
    rng = np.random.default_rng(seed)
    normals = [F.normal_errors(*rng.normal(size=(2, 3, 4, 5))) for _ in order]
    depths = [F.depth_errors(*rng.uniform(0.1, 9, size=(2, 1, 4, 5))) for _ in order]
    saliency = [
        F.saliency_histogram(rng.uniform(size=(1, 4, 5)), rng.integers(0, 2, (1, 4, 5)))
        for _ in order
    ]
    for score, images in (
        (F.normal_scores, normals),
        (F.depth_scores, depths),
        (F.saliency_scores, saliency),
    ):
        assert score(images) == score([images[i] for i in order])


@pytest.mark.parametrize(
    'score',
    [
        lambda: F.mean_iou(np.zeros((3, 3), dtype=np.int64)),
        lambda: F.average_precision(np.zeros((2, 256), dtype=np.int64)),
        lambda: F.saliency_scores([F.saliency_histogram(*np.full((2, 1, 2, 2), 255))])['maxIoU'],
        lambda: F.normal_scores([F.normal_errors(*np.zeros((2, 3, 2, 2)))])['median'],
        lambda: F.depth_scores([])['rmse'],
    ],
)
def test_nothing_to_score_is_nan_with_a_warning(score):
    with pytest.warns(RuntimeWarning, match='nothing to score'):
        assert math.isnan(score())


def test_delta_m_of_the_paper():
    # BMTAS-3 and Single, MobileNetV2 on PASCAL-Context (paper, Table 1).
    names = ['semseg', 'parts', 'sal', 'norm', 'edge']
    single = dict(zip(names, [65.11, 57.54, 65.41, 13.98, 69.50], strict=True))
    bmtas = dict(zip(names, [64.07, 58.60, 64.72, 14.27, 69.40], strict=True))
    lower = {name: name == 'norm' for name in names}
    assert F.delta_m(bmtas, single, lower) == pytest.approx(-0.60, abs=0.01)
    assert F.delta_m(single, single, lower) == 0
    with pytest.raises(ValueError, match=r"missing or 0: \['edge'\]"):
        F.delta_m(bmtas, {**single, 'edge': 0}, lower)
