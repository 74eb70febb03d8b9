"""A training without labels ends at its first batch; one that has few goes on."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mmbmtas.datasets import ConcatDataset, PascalContextMT
from mmbmtas.engine.unlabelled import require_labels
from mmbmtas.structures.data_sample import MultiTaskDataSample


class Head(torch.nn.Module):
    """A decoder that has a key and knows a valid label."""

    def __init__(self, key):
        super().__init__()
        self.target_key = key

    def is_labelled(self, samples):
        return any(
            self.target_key in sample and bool((sample.get(self.target_key).data != 255).any())
            for sample in samples
        )


class Model:
    """What the check needs of a network, by the keys of its tasks."""

    def __init__(self, **keys):
        self.tasks = [*keys]
        self.decode_heads = {task: Head(key) for task, key in keys.items()}

    def labelled_tasks(self, samples):
        return [task for task, head in self.decode_heads.items() if head.is_labelled(samples)]


def sample(**labels):
    """A sample whose labels have one value each."""
    result = MultiTaskDataSample()
    for task, value in labels.items():
        result.set_data({f'gt_{task}': PixelData(data=torch.full((1, 4, 4), value))})
    return result


class Images(list):
    """A data set of samples, which counts what is read of it."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return {'inputs': torch.zeros(3, 4, 4), 'data_samples': super().__getitem__(index)}


def batch(*samples):
    return {'inputs': [], 'data_samples': [*samples]}


def check(model, dataset, *batches):
    return [*require_labels(iter(batches), model, dataset, 0)]


def test_a_labelled_batch_needs_no_look():
    dataset = Images([sample(edge=0)])
    batches = [None, None, batch(sample(edge=0)), batch(sample())]
    assert check(Model(edge='gt_edge'), dataset, *batches) == batches
    assert dataset.reads == 0


def test_a_key_that_no_sample_has_is_named_with_what_they_have():
    model = Model(semseg='gt_semsg', edge='gt_edge')
    images = [sample(semseg=1, edge=0)] * 5
    message = (
        r"model\.decode_heads\.semseg\.target_key 'gt_semsg': none of the 5 training images has "
        r'this label; they have gt_edge, gt_semseg\.'
    )
    with pytest.raises(ValueError, match=message):
        check(model, Images(images), batch(*images))


def test_a_pipeline_that_packs_no_label():
    images = [sample()] * 3
    with pytest.raises(ValueError, match='they have none at all'):
        check(Model(edge='gt_edge'), Images(images), batch(images[0]))
    with pytest.raises(ValueError, match='they have none at all'):
        check(Model(edge='gt_edge'), Images(images), {'inputs': []})


def test_labels_that_are_all_ignored():
    images = [sample(edge=0, parts=255)] * 3
    with pytest.raises(ValueError, match=r"'gt_parts': none of .* valid pixel .* leave parts out"):
        check(Model(edge='gt_edge', parts='gt_parts'), Images(images), batch(*images))


@pytest.mark.parametrize('first', [sample(edge=0), sample(edge=0, parts=255)])
def test_one_labelled_image_of_many_is_enough(first):
    """As of people: the first batches lack what a single image has."""
    dataset = Images([first] * 999 + [sample(edge=0, parts=1)])
    model = Model(edge='gt_edge', parts='gt_parts')
    assert check(model, dataset, batch(first)) == [batch(first)]


def test_the_look_changes_no_random_numbers():
    torch.manual_seed(0)
    np.random.seed(0)
    expected = torch.rand(1), np.random.rand()

    class Random(Images):
        def __getitem__(self, index):
            torch.rand(1), np.random.rand()
            return super().__getitem__(index)

    torch.manual_seed(0)
    np.random.seed(0)
    check(Model(edge='gt_edge'), Random([sample(edge=0)] * 3), batch(sample()))
    assert (torch.rand(1), np.random.rand()) == expected


def packed(root, tasks, **options):
    loading = [{'type': 'LoadSampleImage'}, {'type': 'LoadPascalContextLabels'}]
    steps = [*loading, {'type': 'DeriveEdges'}, {'type': 'PackMultiTaskInputs'}]
    return PascalContextMT(str(root), tasks=tasks, pipeline=steps, cache=None, **options)


def test_samples_that_tell_their_files_are_read_once_a_kind(pascal_root, monkeypatch):
    """Two data sets of other tasks: a sample of each tells that a key is in neither."""
    dataset = ConcatDataset([packed(pascal_root, ['semseg']), packed(pascal_root, ['edge'])])
    reads = []
    original = ConcatDataset.__getitem__
    monkeypatch.setattr(
        ConcatDataset, '__getitem__', lambda self, i: reads.append(i) or original(self, i)
    )
    with pytest.raises(ValueError, match='they have gt_edge, gt_semseg'):
        check(Model(depth='gt_depth', edge='gt_edge'), dataset, batch(sample()))
    assert sorted(reads) == [0, 3]


@pytest.mark.parametrize('kind', ['search', 'branched'])
def test_training_and_search_end_before_the_first_step(
    kind, search_runner, make_runner, toys, tmp_path
):
    tasks = ('semseg', 'normals', 'edge')
    heads = {task: toys.head(task) for task in tasks}
    heads['semseg']['target_key'] = 'gt_semsg'
    if kind == 'search':
        runner = search_runner(tmp_path, model=toys.search_config(tasks, heads=heads))
    else:
        sgd = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.01}}
        loop = {'type': 'IterBasedTrainLoop', 'max_iters': 2}
        runner = make_runner(tmp_path, toys.branched_config(tasks, heads=heads), loop, sgd)
    with pytest.raises(ValueError, match=r"'gt_semsg': none of the 10 .* gt_normals, gt_semseg"):
        runner.train()
    assert runner.iter == 0
