"""What new-project chooses: weights, losses, sizes, batches and the budget."""

import math

import numpy as np
import pytest
from mmengine.config import Config

from mmbmtas.projects import inspect_folder, make_plan
from mmbmtas.projects.content import Facts, Guess
from mmbmtas.projects.found import FoundTask
from mmbmtas.projects.groups import Group
from mmbmtas.projects.plan import CPU, GPU, _batch, _class_weights, _value_loss


@pytest.fixture(scope='module')
def found(tmp_path_factory, write_photos):
    return inspect_folder(write_photos(tmp_path_factory.mktemp('photos'), 6, (48, 64)))


def task_of(spec, **facts):
    return FoundTask('t', Group('t'), Facts(**facts), Guess(spec))


def test_the_budget_lies_half_way_between_shared_and_all_apart(found):
    plan = make_plan(found, CPU)
    assert plan.budget == pytest.approx((plan.shared + plan.apart) / 2, rel=0.005)
    assert plan.shared < plan.budget < plan.apart
    # One stem and two decoders of tasks that differ in the channels of the last layer only:
    # the layers in between cost twice as much apart.
    bigger = make_plan(found, GPU)
    assert bigger.shared > 5 * plan.shared


def test_rare_classes_weigh_more():
    spec = {'kind': 'classes', 'classes': ['a', 'b', 'c', 'd']}
    # Equal shares would be 25 %; below a quarter of this, 6.25 %, a class is rare.
    weights, note = _class_weights(task_of(spec, counts={0: 9000, 1: 900, 2: 90, 3: 10}), spec)
    expected = [1.0, 1.0, round(math.sqrt(0.0625 / 0.009), 2), 5.0]
    assert weights == [1.0, 1.0, expected[2], 5.0]
    assert 'c 0.90%' in note
    assert 'd 0.10%' in note
    assert _class_weights(task_of(spec, counts=dict.fromkeys(range(4), 5)), spec)[0] is None
    coloured = {**spec, 'colours': [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0]]}
    counts = {1: 9000, 256: 900, 65536: 90, 0: 10}
    assert _class_weights(task_of(coloured, counts=counts), coloured)[0] == weights


def test_values_start_at_their_middle_and_weigh_by_their_spread():
    stored = np.array([0, 1000, 2000, 3000, 4000, 5000.0])
    spec = {'kind': 'value', 'scale': 0.001, 'invalid': 0, 'shrinks': True}
    head = {}
    loss, _ = _value_loss(task_of(spec, sample=[stored]), head)
    # Median 3, mean distance from it (2 + 1 + 0 + 1 + 2) / 5 = 1.2.
    assert head['init_cfg']['bias'] == 3.0
    assert loss == {'type': 'DepthL1Loss', 'loss_weight': 0.83}
    loss, _ = _value_loss(task_of({'kind': 'value'}, sample=[stored]), {})
    assert loss['ignore'] is None  # 0 counts, NaN alone is unknown


@pytest.mark.parametrize(
    ('number', 'expected'), [(40, (4, 0.2)), (1000, (8, 0.2)), (10, (4, 0.5)), (4, (1, 0.5))]
)
def test_batches_fit_the_smaller_part_of_the_images(number, expected):
    images = Group('i', files={('-', str(i)): str(i) for i in range(number)})
    batch, fraction = _batch(type('F', (), {'images': images}), 8)
    assert (batch, fraction) == expected
    assert batch <= int(0.8 * number) * fraction


def test_large_photographs_are_reduced_and_crops_fit_the_stride(found):
    plan = make_plan(found, CPU)
    assert plan.scale == 1.0
    assert plan.crop == (48, 64)
    assert plan.search_crop == (32, 32)
    sizes = dict(found.sizes)
    found.sizes.clear()
    found.sizes[2800, 4000] = 6
    plan = make_plan(found, CPU)
    found.sizes.clear()
    found.sizes.update(sizes)
    assert plan.scale == 0.04
    assert plan.crop == (112, 160)


def test_the_device_at_hand_is_chosen(found, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    assert make_plan(found).device is GPU
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    assert make_plan(found).device is CPU
    base = make_plan(found).device.base
    assert Config.fromfile(f'configs/_base_/models/{base}').model.backbone.encoder
