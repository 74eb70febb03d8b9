import json
import math

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmbmtas.evaluation import (
    ConstantBaseline,
    DepthMetric,
    EdgePixelMetric,
    HumanPartsMetric,
    MultiTaskEvaluator,
    NormalsMetric,
    SaliencyMetric,
    SemSegMetric,
    TaskMetric,
    ValueMetric,
    declared_metrics,
    delta_m,
    load_baseline,
    score_constant,
)
from mmbmtas.registry import EVALUATORS
from mmbmtas.registry import METRICS as REGISTRY
from mmbmtas.structures.data_sample import MultiTaskDataSample

METRICS = [
    dict(type='SemSegMetric', num_classes=5),
    dict(type='HumanPartsMetric'),
    dict(type='SaliencyMetric'),
    dict(type='NormalsMetric'),
    dict(type='EdgePixelMetric'),
    dict(type='DepthMetric'),
]
HEADLINES = {
    metric.default_task: metric.headline_of()
    for metric in (
        SemSegMetric,
        HumanPartsMetric,
        SaliencyMetric,
        NormalsMetric,
        EdgePixelMetric,
        DepthMetric,
    )
}


def make_sample(seed=0, size=(12, 16), tasks=tuple(HEADLINES)):
    rng = torch.Generator().manual_seed(seed)
    classes = {'semseg': 5, 'human_parts': 7, 'saliency': 2, 'edge': 2}
    sample = MultiTaskDataSample(metainfo={'img_path': f'{seed}.jpg'})
    for task in tasks:
        channels = 3 if task == 'normals' else 1
        if task in classes:
            label = torch.randint(0, classes[task], (1, *size), generator=rng)
            label[0, 0] = 255
        else:
            label = torch.rand((channels, *size), generator=rng) + 0.1
        sample.set_field(PixelData(data=label), f'gt_{task}')
        if task in ('semseg', 'human_parts'):
            prediction = torch.randint(0, classes[task], (1, *size), generator=rng)
        else:
            prediction = torch.rand((channels, *size), generator=rng)
        sample.set_field(PixelData(data=prediction), f'pred_{task}')
    return sample


def run(metrics, samples, **kwargs):
    evaluator = EVALUATORS.build(dict(type='MultiTaskEvaluator', metrics=metrics, **kwargs))
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_evaluator_gives_every_headline():
    results = run(METRICS, [make_sample(i) for i in range(3)])
    for headline in HEADLINES.values():
        assert math.isfinite(results[headline.key])
    assert 'delta_m' not in results


def test_perfect_predictions():
    sample = make_sample()
    for task in HEADLINES:
        data = sample.get(f'gt_{task}').data
        if task in ('saliency', 'edge'):
            data = data.float()
        elif data.dtype == torch.int64:
            data = data.clone().masked_fill(data == 255, 0)
        sample.set_field(PixelData(data=data), f'pred_{task}')
    results = run(METRICS, [sample])
    for headline in HEADLINES.values():
        expected = 0 if headline.lower_is_better else 100
        assert results[headline.key] == pytest.approx(expected, abs=1e-5)


def test_batches_and_order_change_nothing():
    samples = [make_sample(i) for i in range(5)]
    together = run(METRICS, samples)
    assert run(METRICS, samples[::-1]) == together
    evaluator = MultiTaskEvaluator(METRICS)
    for sample in samples:
        evaluator.process([sample])
    assert evaluator.evaluate(5) == together


def test_samples_without_the_label_are_left_out_yet_counted():
    full, other = make_sample(0), make_sample(1, tasks=('depth',))
    results = run(METRICS, [other, full])
    assert results['semseg/mIoU'] == run(METRICS, [full])['semseg/mIoU']
    metric = SemSegMetric(5)
    metric.process(None, [other.to_dict(), full.to_dict()])
    assert len(metric.results) == 2
    assert None not in metric.results  # mmengine would drop it.


def test_no_label_at_all_is_nan():
    with pytest.warns(RuntimeWarning, match='nothing to score'):
        assert math.isnan(
            run([dict(type='DepthMetric')], [make_sample(tasks=('edge',))])['depth/rmse']
        )


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_non_finite_prediction_names_the_image(bad):
    sample = make_sample(3)
    sample.pred_depth.data[0, 2, 2] = bad
    with pytest.raises(ValueError, match=r'depth of image 3\.jpg: 1 of 192 .* not finite'):
        run(METRICS, [sample])


def test_wrong_size_and_missing_prediction_name_the_image():
    sample = make_sample(3)
    sample.pred_depth = PixelData(data=torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match=r'3\.jpg: the prediction is \(1, 4, 4\)'):
        run([dict(type='DepthMetric')], [sample])
    del sample.pred_depth
    with pytest.raises(ValueError, match=r'3\.jpg: it has a label but no prediction'):
        run([dict(type='DepthMetric')], [sample])


def test_task_renames_everything():
    sample = make_sample(tasks=())
    sample.gt_height = PixelData(data=torch.ones(1, 2, 2))
    sample.pred_height = PixelData(data=torch.ones(1, 2, 2) * 3)
    metric = DepthMetric(task='height')
    assert metric.headline.key == 'height/rmse'
    results = run([metric], [sample], baseline={'height/rmse': 4.0})
    assert results['height/rmse'] == 2
    assert results['delta_m'] == 50


def test_directions_and_keys():
    assert [t for t, h in HEADLINES.items() if h.lower_is_better] == ['normals', 'depth']
    assert declared_metrics()['edge/odsF'].unit == '%'
    assert HEADLINES['edge'].key == EdgePixelMetric().headline.key == 'edge/pixel_AP'


class Height(TaskMetric):
    """A user's metric, as the class asks for it."""

    default_task = 'height'
    headline_name = 'noise'
    unit = 'dB'
    digits = 1

    def score_image(self, prediction, label, sample):
        return float(abs(prediction - label).mean())

    def pool_images(self, results):
        return {'noise': sum(results) / len(results)}


def test_a_users_metric_is_declared_with_its_own_unit(monkeypatch):
    monkeypatch.setitem(REGISTRY.module_dict, 'Height', Height)
    headline = declared_metrics()['height/noise']
    assert headline == Height().headline
    assert headline.format(12.34) == '12.3 dB'
    assert delta_m({'height/noise': 3.0}, {'height/noise': 2.0}) == pytest.approx(50)


def test_units_are_printed_as_readers_know_them():
    assert HEADLINES['semseg'].format(40) == '40.00%'
    assert HEADLINES['normals'].format(15.5) == '15.50°'
    assert HEADLINES['depth'].format(0.5) == '0.5000 m'


def test_a_metric_without_a_headline_says_what_is_missing():
    class Nameless(TaskMetric):
        default_task = 'height'
        score_image = pool_images = None

    with pytest.raises(ValueError, match='Nameless declares no headline_name'):
        _ = Nameless().headline


def test_a_fault_of_a_users_metric_keeps_its_type():
    class Faulty(Height):
        def score_image(self, prediction, label, sample):
            return np.zeros(2) + np.zeros(3)

    sample = make_sample(tasks=())
    sample.gt_height = sample.pred_height = PixelData(data=torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match='could not be broadcast') as caught:
        run([Faulty()], [sample])
    assert type(caught.value) is ValueError


def test_delta_m_from_files(tmp_path):
    samples = [make_sample(i) for i in range(2)]
    plain = run(METRICS, samples)
    single = tmp_path / 'single.json'
    single.write_text(json.dumps(plain))
    assert run(METRICS, samples, baseline=str(single))['delta_m'] == 0
    worse = {key: value * 1.1 for key, value in plain.items()}
    signs = [1 if h.lower_is_better else -1 for h in HEADLINES.values()]
    expected = 100 * sum(sign * (1 - 1 / 1.1) for sign in signs) / len(signs)
    assert run(METRICS, samples, baseline=worse)['delta_m'] == pytest.approx(expected)
    assert delta_m(plain, worse) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"missing or 0: \['edge/pixel_AP'\]"):
        MultiTaskEvaluator(METRICS, baseline={**plain, 'edge/pixel_AP': 0})


def test_baseline_from_one_file_a_task(tmp_path):
    paths = [tmp_path / name for name in ('a.json', 'b.json')]
    paths[0].write_text('{"depth/rmse": 0.5}')
    paths[1].write_text('{"semseg/mIoU": 60.0}')
    assert load_baseline(paths) == {'depth/rmse': 0.5, 'semseg/mIoU': 60.0}
    paths[1].write_text('{"depth/rmse": 0.6}')
    with pytest.raises(ValueError, match=r'b\.json: depth/rmse is 0\.6, but 0\.5 in another'):
        load_baseline(paths)
    paths[1].write_text('[1]')
    with pytest.raises(ValueError, match=r'b\.json should hold a JSON object'):
        load_baseline(paths)


def test_delta_m_takes_the_edge_metric_both_sides_have():
    results = {'edge/pixel_AP': 50.0, 'edge/odsF': 77.0}
    assert delta_m(results, {'edge/odsF': 70.0}) == pytest.approx(10)
    assert delta_m(results, {'edge/pixel_AP': 40.0}) == pytest.approx(25)


def test_constants_of_known_labels():
    sample = MultiTaskDataSample()
    sample.gt_semseg = PixelData(data=torch.tensor([[[3, 3, 1, 255, 255, 255]]]))
    sample.gt_edge = PixelData(data=torch.tensor([[[1, 0, 0, 0, 255, 255]]]))
    sample.gt_saliency = PixelData(data=torch.tensor([[[0, 0, 0, 0, 255, 255]]]))
    sample.gt_depth = PixelData(data=torch.tensor([[[1.0, 2.0, 6.0, 0, 0, 0]]]))
    normals = torch.zeros(3, 1, 6)
    normals[0, 0, 0] = normals[1, 0, 1] = 2
    sample.gt_normals = PixelData(data=normals)
    sample.gt_height = PixelData(data=torch.tensor([[[4.0, 0]]]))
    baseline = ConstantBaseline()
    baseline.add(sample)
    baseline.add(sample)
    for task, expected in dict(semseg=3, edge=0.25, saliency=1, depth=3, height=4).items():
        np.testing.assert_allclose(baseline.constant(task), [expected])
    np.testing.assert_allclose(baseline.constant('normals'), [0.5**0.5, 0.5**0.5, 0])
    predicted = baseline.predict(sample)
    assert predicted.pred_semseg.data.dtype == torch.int64
    assert predicted.pred_normals.data.shape == (3, 1, 6)
    assert 'pred_semseg' not in sample
    with pytest.raises(ValueError, match="no training label of 'human_parts'"):
        baseline.constant('human_parts')


def test_constant_scores():
    training, held_out = [make_sample(i) for i in range(3)], [make_sample(i) for i in (7, 8)]
    scores = score_constant(training, held_out, MultiTaskEvaluator(METRICS))
    positives = [(s.gt_edge.data == 1).sum() / (s.gt_edge.data != 255).sum() for s in held_out]
    assert scores['edge/pixel_AP'] == pytest.approx(100 * float(sum(positives)) / 2)
    assert scores['saliency/maxIoU'] > 30
    mean = torch.cat([s.gt_depth.data for s in training]).double().mean()
    errors = torch.cat([s.gt_depth.data for s in held_out]).double() - mean
    assert scores['depth/rmse'] == pytest.approx(float(errors.square().mean().sqrt()), rel=1e-6)


class TestValueMetric:
    def score(self, prediction, label, **options):
        metric = ValueMetric('albedo', **options)
        results = [
            metric.score_image(np.array([[p]]), np.array([[t]]), {})
            for p, t in zip(prediction, label, strict=True)
        ]
        return metric.pool_images(results)

    def test_errors_by_hand(self):
        """Errors 3, 0, 1 and 2: their mean is 1.5, the mean of their squares 3.5."""
        scores = self.score([[1.0, -2.0], [5.0, 0.0]], [[-2.0, -2.0], [4.0, 2.0]])
        assert scores == {'mae': 1.5, 'rmse': pytest.approx(math.sqrt(3.5))}

    def test_what_is_ignored(self):
        scores = self.score([[1.0, 9.0]], [[0.0, -9999.0]], ignore=-9999)
        assert scores['mae'] == 1
        assert self.score([[1.0, 9.0]], [[0.0, math.nan]])['mae'] == 1
        assert math.isnan(self.score([[1.0]], [[math.nan]])['rmse'])

    def test_headline(self):
        headline = ValueMetric('albedo').headline
        assert (headline.key, headline.lower_is_better) == ('albedo/mae', True)
