"""Image labels beside maps: one segmentor predicts, trains and exports both."""

import json
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.structures import LabelData
from torch.nn import functional as F

from mmbmtas.apis import Prediction, write_prediction
from mmbmtas.datasets.transforms import PackMultiTaskInputs
from mmbmtas.errors import InputError
from mmbmtas.evaluation import ConstantBaseline
from mmbmtas.foreign import keep_labels_in_place
from mmbmtas.models.decode_heads import LabelHead
from mmbmtas.registry import MODELS, TRANSFORMS
from mmbmtas.visualization import sample_columns

HEAD = {'type': 'LabelHead', 'num_classes': 5, 'channels': 12, 'target_key': 'gt_digits'}


def labelled(samples, classes):
    """Give samples the classes of their images; None for an image without."""
    for sample, label in zip(samples, classes, strict=True):
        if label is not None:
            sample.set_data({'gt_digits': LabelData(label=torch.tensor([label]))})
    return samples


@pytest.fixture
def both(toys):
    """A network of a map and an image label, and a batch of two images."""
    config = toys.branched_config(['depth', 'digits'])
    config['decode_heads']['digits'] = HEAD
    model = MODELS.build(config)
    model.init_weights()
    inputs, samples = toys.batch(['depth'])
    return model, inputs, labelled(samples, [1, 4])


class TestHead:
    def test_it_computes_what_its_docstring_says(self):
        head = LabelHead([3, 6], 5, 'gt_digits', channels=12)
        x = torch.randn(2, 6, 4, 3)
        pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
        hidden = pooled @ head.hidden.weight.T + head.hidden.bias
        hidden = hidden * (hidden + 3).clamp(0, 6) / 6
        expected = hidden @ head.classifier.weight.T + head.classifier.bias
        torch.testing.assert_close(head((torch.rand(2, 3, 8, 6), x)), expected)

    def test_the_loss_is_smoothed_and_leaves_out_images_without_a_label(self, toys):
        head = LabelHead([3, 6], 5, 'gt_digits')
        logits = torch.randn(3, 5, requires_grad=True)
        samples = labelled(toys.batch([], count=3)[1], [2, None, 0])
        (loss,) = head.loss_by_feat(logits, samples).values()
        target = torch.full((2, 5), 0.1 / 5)
        target[[0, 1], [2, 0]] += 0.9
        expected = -(target * logits[[0, 2]].log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(loss, expected)
        loss.backward()
        assert (logits.grad[1] == 0).all()

    def test_a_class_beyond_the_last_is_named(self, toys):
        head = LabelHead([3, 6], 5, 'gt_digits')
        samples = labelled(toys.batch([])[1], [2, 5])
        samples[1].set_metainfo({'img_path': 'bad.png'})
        with pytest.raises(InputError, match=r'gt_digits: the classes are 0 to 4 .*bad\.png'):
            head.loss_by_feat(torch.zeros(2, 5), samples)

    def test_no_label_at_all_is_an_error(self, toys):
        with pytest.raises(InputError, match="no image of the batch has the label 'gt_digits'"):
            LabelHead([3, 6], 5, 'gt_digits').loss_by_feat(torch.zeros(2, 5), toys.batch([])[1])


class TestSegmentor:
    def test_it_trains_both(self, both):
        model, inputs, samples = both
        losses = model.loss(inputs, samples)
        assert {*losses} >= {'digits.loss_ce'}
        assert any(name.startswith('depth.loss') for name in losses)
        model.parse_losses(losses)[0].backward()
        assert model.decode_heads['digits'].hidden.weight.grad.abs().sum() > 0

    def test_it_predicts_both(self, both):
        model, inputs, samples = both
        model.eval()
        with torch.no_grad():
            logits = model.encode_decode(inputs)['digits']
            found = model.predict(inputs, samples)
        for sample, row in zip(found, logits, strict=True):
            assert sample.pred_depth.data.shape == (1, *inputs.shape[2:])
            torch.testing.assert_close(sample.pred_digits.score, row.softmax(0))
            assert sample.pred_digits.label.tolist() == [int(row.argmax())]

    def test_its_sheet_names_the_classes(self, both):
        model, inputs, samples = both
        model.eval()
        with torch.no_grad():
            (sample, _) = model.predict(inputs, samples)
        meta = {'classes': {'digits': ['nought', 'one', 'two', 'three', 'four']}}
        column = next(c for c in sample_columns(sample, meta) if c.name == 'digits')
        assert column.legend.entries[0][1] == 'one'
        assert column.legend.entries[1][1].endswith('%')


class TestSamples:
    results: ClassVar = {
        'img': np.zeros((4, 6, 3), np.uint8),
        'img_path': 'a.png',
        'gt_digits': 7,
        'gt_semseg': np.zeros((4, 6), np.uint8),
        'label_keys': ['gt_digits', 'gt_semseg'],
        'task_kinds': {'digits': 'label', 'semseg': 'classes'},
        'domain': 'ciphers',
    }

    def test_they_are_packed_with_their_domain(self):
        sample = PackMultiTaskInputs()(dict(self.results))['data_samples']
        assert sample.gt_digits.label.tolist() == [7]
        assert sample.gt_semseg.data.shape == (1, 4, 6)
        assert sample.domain == 'ciphers'

    def test_transforms_pass_image_labels_by(self):
        flip = TRANSFORMS.build({'type': 'RandomFlipSample', 'prob': 1.0})
        assert flip(dict(self.results))['gt_digits'] == 7

    def test_transforms_of_other_libraries_may_move_an_image_that_has_no_map(self):
        resize = keep_labels_in_place(TRANSFORMS.build({'type': 'mmcv.Resize', 'scale': (3, 2)}))
        results = {**self.results, 'label_keys': ['gt_digits']}
        assert resize(results)['img'].shape == (2, 3, 3)
        with pytest.raises(InputError, match='gt_semseg'):
            resize(dict(self.results))


class TestFiles:
    @pytest.mark.parametrize('decide', [False, True])
    def test_an_exported_network_gives_the_same_classes(self, both, toys, tmp_path, decide):
        pytest.importorskip('onnxruntime')
        from mmbmtas.deploy import OnnxModel, export_network

        model, _, _ = both
        model.data_preprocessor = MODELS.build(
            {'type': 'mmengine.ImgDataPreprocessor', 'mean': [127.5] * 3, 'std': [127.5] * 3}
        )
        exported = export_network(model.eval(), {}, shape=(64, 64), decide=decide)
        exported.write(tmp_path / 'network.onnx')
        image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
        (sample,) = toys.batch([], count=1)[1]
        (found,) = OnnxModel(tmp_path / 'network.onnx', 'cpu')([image], [sample])
        score, label = found.pred_digits.score, found.pred_digits.label
        (trained,) = model.test_step({'inputs': [image], 'data_samples': [toys.sample([])]})
        torch.testing.assert_close(score, trained.pred_digits.score, rtol=1e-4, atol=1e-5)
        assert label.tolist() == trained.pred_digits.label.tolist()

    def test_a_prediction_is_written_with_its_class(self, both, tmp_path):
        model, inputs, samples = both
        with torch.no_grad():
            (sample, _) = model.eval().predict(inputs, samples)
        names = ['nought', 'one', 'two', 'three', 'four']
        image = np.zeros((64, 64, 3), np.uint8)
        prediction = Prediction(image, sample, {'classes': {'digits': names}})
        assert prediction.arrays()['digits'].shape == (5,)
        write_prediction(prediction, tmp_path, 'photo')
        written = json.loads((tmp_path / 'digits/photo.json').read_text())
        assert written['class'] == names[int(sample.pred_digits.label)] == names[written['label']]
        assert sum(written['scores']) == pytest.approx(1, abs=1e-5)


def test_the_constant_baseline_is_the_most_frequent_class(toys):
    baseline = ConstantBaseline()
    samples = labelled(toys.batch([], count=4)[1], [2, 3, 3, 1])
    for sample in samples:
        sample.set_metainfo({'task_kinds': {'digits': 'label'}})
        baseline.add(sample)
    assert baseline.predict(samples[0]).pred_digits.label.tolist() == [3]


class AsTheyAre(torch.nn.Module):
    """A preprocessor of inputs that are stacked already."""

    def forward(self, data, training=False):
        return data


def test_views_of_an_image_are_averaged_as_probabilities(both):
    model, inputs, samples = both
    tta = MODELS.build({'type': 'MultiTaskTTAModel', 'module': model})
    for sample in samples:
        sample.set_metainfo({'flip': True})
    with torch.no_grad():
        scores = [s.pred_digits.score.clone() for s in model.eval().predict(inputs, samples)]
        views = {'inputs': [inputs, inputs.flip(-1)], 'data_samples': [samples, samples]}
        mirrored = [s.pred_digits.score.clone() for s in model.predict(inputs.flip(-1), samples)]
        tta.module.data_preprocessor = AsTheyAre()
        found = tta.test_step(views)
    for sample, one, other in zip(found, scores, mirrored, strict=True):
        torch.testing.assert_close(sample.pred_digits.score, (one + other) / 2)
