"""Copies to a device, and what is looked at on the CPU in their place."""

import torch
from mmengine.structures import LabelData, PixelData

from mmbmtas.devices import as_on_cpu, constants, fetch, to_device
from mmbmtas.structures.data_sample import MultiTaskDataSample


def sample():
    found = MultiTaskDataSample(metainfo={'domain': 'rooms'})
    found.set_data({'gt_edge': PixelData(data=torch.arange(4).view(1, 2, 2))})
    found.set_data({'gt_digits': LabelData(label=torch.tensor([3]))})
    return found


def test_labels_are_found_where_they_were(pretence):
    original = sample()
    with pretence.pretend_gpu() as waits:
        moved = original.to('cuda')
        waits.clear()
        assert as_on_cpu(moved.gt_edge.data) is original.gt_edge.data
        assert as_on_cpu(moved.gt_digits.label) is original.gt_digits.label
        assert not waits
        assert as_on_cpu(moved.to('cuda').gt_edge.data) is original.gt_edge.data


def test_labels_that_were_changed_since_are_not(pretence):
    original = sample()
    with pretence.pretend_gpu():
        moved = original.to('cuda')
        label = moved.gt_edge.data
        label.fill_(255)
        assert as_on_cpu(label) is label
        moved.gt_digits.label = other = moved.gt_digits.label + 1
        assert as_on_cpu(moved.gt_digits.label) is other


def test_copies_of_another_kind_are_not_confused(pretence):
    original = sample()
    single = original.to(torch.float32)
    assert as_on_cpu(single.gt_edge.data) is single.gt_edge.data
    with pretence.pretend_gpu(), torch.inference_mode():
        moved = original.to('cuda')
        assert as_on_cpu(moved.gt_edge.data).cpu().equal(original.gt_edge.data)


def test_samples_in_pinned_memory(pretence):
    """As a loader makes them: their labels travel without a wait, and are the same."""
    original = sample()
    with pretence.pretend_gpu() as waits:
        pinned = torch.utils.data._utils.pin_memory.pin_memory([original])[0]
        moved = pinned.to('cuda', non_blocking=True)
        assert not waits
        assert moved.gt_edge.data.is_cuda
        assert moved.metainfo == original.metainfo
        back = moved.cpu()
    assert torch.equal(back.gt_edge.data, original.gt_edge.data)
    assert torch.equal(back.gt_digits.label, original.gt_digits.label)


def test_small_numbers_travel_without_a_wait(pretence):
    with pretence.pretend_gpu() as waits:
        there = to_device(torch.tensor([1.5, 2.5]), 'cuda')
        rows = constants(((1.0, 2.0), (3.0, 4.0)), torch.device('cuda', 0))
        assert constants(((1.0, 2.0), (3.0, 4.0)), torch.device('cuda', 0)) is rows
        assert not waits
        assert [*map(float, fetch([there.sum(), rows.prod()]))] == [4.0, 24.0]
        assert len(waits) == 1


def test_on_cpus_nothing_is_copied():
    x = torch.rand(3)
    assert to_device(x, 'cpu') is x
    assert as_on_cpu(x) is x
    assert fetch([]) == []
