"""The decathlon score against its published vectors, and accuracies against mmpretrain's."""

import json
from typing import ClassVar

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import LabelData

from mmbmtas.errors import InputError
from mmbmtas.evaluation import (
    DECATHLON,
    Accuracy,
    DecathlonEvaluator,
    DecathlonResults,
    decathlon_score,
)
from mmbmtas.structures.data_sample import MultiTaskDataSample


class TestScore:
    def test_the_reference_has_2500(self):
        assert decathlon_score(DECATHLON) == pytest.approx(2500, abs=1e-9)

    def test_seventy_percent_everywhere(self):
        assert decathlon_score(dict.fromkeys(DECATHLON, 70)) == pytest.approx(1760.890, abs=5e-4)

    def test_no_errors(self):
        assert decathlon_score(dict.fromkeys(DECATHLON, 100)) == 10_000

    def test_twice_the_error_is_worth_nothing(self):
        assert decathlon_score({'a': 20}, {'a': 60}) == 0
        assert decathlon_score({'a': 0}, {'a': 60}) == 0

    @pytest.mark.parametrize(
        ('accuracies', 'message'),
        [
            ({'a': 50}, 'needs the accuracies of b'),
            ({'a': 50, 'b': 50, 'c': 50}, 'no reference accuracy to compare c with'),
            ({'a': 50, 'b': 150}, 'accuracy in b: 150'),
            ({'a': 50, 'b': float('nan')}, 'accuracy in b: nan'),
        ],
    )
    def test_what_has_no_score(self, accuracies, message):
        with pytest.raises(InputError, match=message):
            decathlon_score(accuracies, {'a': 60, 'b': 70})


def samples(task, rows, labels):
    for row, label in zip(rows, labels, strict=True):
        sample = MultiTaskDataSample()
        sample.set_data(
            {
                f'gt_{task}': LabelData(label=torch.tensor([label])),
                f'pred_{task}': LabelData(label=row.argmax(0, keepdim=True), score=row),
            }
        )
        yield sample


class TestAccuracy:
    def test_it_is_mmpretrains(self):
        from mmpretrain.evaluation import Accuracy as Reference

        rows = torch.rand(50, 7, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(50) % 7
        evaluator = Evaluator([Accuracy(task='digits')])
        evaluator.process([*samples('digits', rows, labels.tolist())])
        (expected,) = Reference.calculate(rows, labels)
        assert evaluator.evaluate(50)['digits/top1'] == pytest.approx(float(expected[0]), abs=1e-4)

    def test_broken_scores_are_an_error_that_names_the_image(self):
        (sample,) = samples('digits', [torch.tensor([0.1, float('nan')])], [0])
        sample.set_metainfo({'img_path': 'bad.png'})
        with pytest.raises(InputError, match=r'digits of image bad\.png: .* not finite'):
            Evaluator([Accuracy(task='digits')]).process([sample])


class TestResults:
    meta: ClassVar = {'category_ids': {'a': (70, 30, 50)}}

    def write(self, path, found):
        metric = DecathlonResults(['a'], str(path))
        metric.dataset_meta = self.meta
        evaluator = Evaluator([metric])
        evaluator.dataset_meta = self.meta
        evaluator.process(found)
        return evaluator.evaluate(len(found))

    def test_they_have_the_numbers_of_the_file_in_order(self, tmp_path):
        found = [*samples('a', torch.eye(3)[[2, 0]], [0, 0]), *samples('b', torch.eye(3)[:1], [0])]
        for number, sample in zip((9, 4, 1), found, strict=True):
            sample.set_metainfo({'img_id': number})
        assert self.write(tmp_path / 'results.json', found) == {}
        assert json.loads((tmp_path / 'results.json').read_text()) == [
            {'image_id': 4, 'category_id': 70},
            {'image_id': 9, 'category_id': 50},
        ]

    def test_a_data_set_without_numbers_is_refused(self, tmp_path):
        self.meta = {}
        with pytest.raises(InputError, match='no category_ids of a'):
            self.write(tmp_path / 'results.json', [*samples('a', torch.eye(3)[:1], [0])])

    def test_a_domain_without_images_is_refused(self, tmp_path):
        metric = DecathlonResults(['a', 'vgg-flowers'], str(tmp_path / 'results.json'))
        metric.dataset_meta = self.meta
        with pytest.raises(InputError, match='no category_ids of vgg_flowers, only'):
            metric.process(None, samples('a', torch.eye(3)[:1], [0]))

    def test_a_domain_may_be_called_as_it_is_published(self, tmp_path):
        self.meta = {'category_ids': {'a': (70, 30, 50), 'a_b': (7, 3, 5)}}
        metric = DecathlonResults(['a-b'], str(tmp_path / 'results.json'))
        metric.dataset_meta = self.meta
        (sample,) = samples('a_b', torch.eye(3)[[2]], [0])
        sample.set_metainfo({'img_id': 1})
        metric.process(None, [sample.to_dict()])
        assert metric.results == [[{'image_id': 1, 'category_id': 5}]]


class TestEvaluator:
    def test_it_gives_each_domain_their_mean_and_the_score(self):
        evaluator = DecathlonEvaluator(
            [Accuracy(task='a'), Accuracy(task='b')], reference={'a': 50, 'b': 75}
        )
        rows = torch.eye(4)
        evaluator.process([*samples('a', rows, [0, 1, 3, 2]), *samples('b', rows, [0, 1, 2, 0])])
        found = evaluator.evaluate(8)
        assert found['a/top1'] == 50
        assert found['b/top1'] == 75
        assert found['top1'] == 62.5
        assert found['decathlon_score'] == pytest.approx(500)

    def test_some_of_the_domains_have_no_score(self):
        evaluator = DecathlonEvaluator([Accuracy(task='dtd')], reference='decathlon')
        evaluator.process([*samples('dtd', torch.eye(2), [0, 1])])
        assert evaluator.evaluate(2) == {'dtd/top1': 100, 'top1': 100}

    def test_domains_must_be_those_of_the_reference(self):
        with pytest.raises(InputError, match='no reference accuracy to compare digits with'):
            DecathlonEvaluator([Accuracy(task='digits')], reference='decathlon')
        with pytest.raises(InputError, match="reference 'resnet'"):
            DecathlonEvaluator([Accuracy(task='imagenet12')], reference='resnet')
