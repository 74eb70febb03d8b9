"""What an image without a task's label does to that task: nothing."""

import pytest
import torch
from mmengine.structures import PixelData

from mmbmtas.structures.data_sample import MultiTaskDataSample


@pytest.fixture
def model(toys):
    """In evaluation mode: batch normalisation would carry gradients from image to image."""
    model = toys.build(toys.branched_config(toys.SIX)).eval()
    toys.randomise(model)
    return model


@pytest.fixture(params=['semseg', 'human_parts', 'saliency', 'normals', 'edge', 'depth'])
def task(request):
    return request.param


def ignored(label, task):
    return torch.full_like(label, 0 if task in ('normals', 'depth') else 255)


def of_task(losses, task):
    (value,) = [value for name, value in losses.items() if name.startswith(f'{task}.')]
    return value


def test_pixels_of_an_unlabelled_image_get_no_gradient(toys, model, task):
    images, samples = toys.batch(toys.SIX, count=3)
    del samples[1][f'gt_{task}']
    images.requires_grad_()
    losses = model(images, samples, mode='loss')
    (gradient,) = torch.autograd.grad(of_task(losses, task), images, retain_graph=True)
    assert (gradient[1] == 0).all()
    assert gradient[0].any()
    assert gradient[2].any()
    other = next(name for name in toys.SIX if name != task)
    (gradient,) = torch.autograd.grad(of_task(losses, other), images)
    assert gradient[1].any()


@pytest.mark.parametrize('training', [True, False])
def test_a_missing_label_equals_one_that_is_all_ignored(toys, model, task, training):
    images, samples = toys.batch(toys.SIX, count=3)
    masked = []
    for index, sample in enumerate(samples):
        copy = MultiTaskDataSample(metainfo=sample.metainfo)
        for name in toys.SIX:
            label = sample.get(f'gt_{name}').data.clone()
            hidden = index == 1 and name == task
            copy.set_data({f'gt_{name}': PixelData(data=ignored(label, task) if hidden else label)})
        masked.append(copy)
    del samples[1][f'gt_{task}']
    model.train(training)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    left, right = (model(images, labels, mode='loss') for labels in (samples, masked))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_loss_is_that_of_the_labelled_images_alone(toys, model, task):
    images, samples = toys.batch(toys.SIX, count=3)
    del samples[1][f'gt_{task}']
    whole = of_task(model(images, samples, mode='loss'), task)
    part = of_task(model(images[[0, 2]], [samples[0], samples[2]], mode='loss'), task)
    torch.testing.assert_close(whole, part)


def test_inputs_of_several_sizes_are_cut_where_each_lies(toys, model):
    """A batch is stacked top left, whatever padding an image has brought along."""
    images = torch.zeros(1, 3, 64, 80)
    metainfo = {'img_shape': (48, 64), 'ori_shape': (45, 60), 'padding': (2, 1, 2, 2)}
    with torch.no_grad():
        (sample,) = model.predict(images, [MultiTaskDataSample(metainfo=metainfo)])
        expected = model.encode_decode(images)['depth'][0, :, 1:46, 2:62]
    torch.testing.assert_close(sample.pred_depth.data, expected)
