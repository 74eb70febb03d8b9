"""Chooses losses, metrics, sizes, lengths and a budget for what was found in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.registry import MODELS, SCOPE

from .found import Found, FoundTask

CONFIGS = Path(__file__).parents[1] / '.mim' / 'configs' / 'bmtas'
_STRIDE = 16
_RARE = 0.25
"""A class is rare if it has less than this share of what it had if all were equally frequent."""
_MOST_WEIGHT = 5.0


@dataclass(frozen=True)
class Device:
    """What a device can do in minutes.

    Attributes:
        name: Its name.
        base: The file of the encoder.
        head: What all decoders have in common.
        side: Longer side of the images, in pixels.
        batch: Images in a batch.
        search_iters: Iterations of the search.
        train_iters: Iterations of the retraining.
        lr: Learning rate of the retraining.
    """

    name: str
    base: str
    head: Mapping[str, Any]
    side: int
    batch: int
    search_iters: int
    train_iters: int
    lr: float


_HEAD = {'type': 'DeepLabV3PlusHead', 'separable': True}
CPU = Device(
    'CPU',
    'mobilenet_v2_scenes.py',
    {**_HEAD, 'channels': 32, 'low_level_channels': 16},
    side=160,
    batch=8,
    search_iters=120,
    train_iters=400,
    lr=0.015,
)
GPU = Device(
    'GPU',
    'mobilenet_v2_nyud.py',
    {**_HEAD, 'channels': 128},
    side=640,
    batch=8,
    search_iters=2000,
    train_iters=10_000,
    lr=0.003,
)


@dataclass
class TaskPlan:
    """How a task is trained and scored.

    Attributes:
        found: What was found.
        head: Settings of its decoder.
        metric: Its metric.
        notes: What is worth saying of the choices.
    """

    found: FoundTask
    head: dict[str, Any]
    metric: dict[str, Any]
    notes: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """The content of a project's files.

    Attributes:
        found: What was found in the folder.
        tasks: The tasks.
        device: What the lengths and sizes are for.
        scale: New size of the images over old size, in training and prediction.
        crop: Height and width of training crops.
        allow_missing: Whether images lack some labels.
        batch: Images in a batch; fewer than usual where there are few images.
        arch_fraction: Share of the images on which the search chooses.
        budget: Multiply-adds that the tree may cost.
        shared: Multiply-adds of the fully shared network.
        apart: Multiply-adds of the network that shares the stem alone.
    """

    found: Found
    tasks: list[TaskPlan]
    device: Device
    scale: float
    crop: tuple[int, int]
    allow_missing: bool
    batch: int
    arch_fraction: float
    budget: float = 0.0
    shared: float = 0.0
    apart: float = 0.0

    @property
    def search_scale(self) -> float:
        """New size of the images over old size in the search."""
        return float(f'{self.scale / 2:.3g}')

    @property
    def search_crop(self) -> tuple[int, int]:
        """Height and width of the crops of the search, at half the size."""
        height, width = (max(_STRIDE, -(-side // 2 // _STRIDE) * _STRIDE) for side in self.crop)
        return height, width


def make_plan(found: Found, device: Device | None = None) -> Plan:
    """Choose the settings for the files that were found.

    Args:
        found: The folder.
        device: What the lengths and sizes are for; default the one at hand.
    """
    device = device or (GPU if torch.cuda.is_available() else CPU)
    scale = min(1.0, device.side / max(found.size))
    scale = 1.0 if scale > 0.9 else float(f'{scale:.2g}')
    height, width = (
        max(2 * _STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in found.size
    )
    plan = Plan(
        found,
        [_plan_task(task) for task in found.tasks],
        device,
        scale,
        (height, width),
        any(task.missing for task in found.tasks),
        *_batch(found, device.batch),
    )
    _set_budget(plan)
    return plan


def _batch(found: Found, most: int) -> tuple[int, float]:
    """The batch size, and the share of the images on which the search chooses.

    That part of the training images must have a batch.
    """
    splits = [split for split, _ in found.images.files]
    images = splits.count('train') or int(len(splits) * 0.8)
    fraction = 0.2 if images >= 20 else 0.5
    part = max(1, int(images * fraction))
    return min(most, 1 << part.bit_length() - 1), fraction


def _plan_task(task: FoundTask) -> TaskPlan:
    head: dict[str, Any] = {}
    metric: dict[str, Any] = {'task': task.name}
    notes: list[str] = []
    spec = task.guess.spec
    if spec['kind'] == 'classes':
        number = len(spec['classes'])
        head['num_classes'] = number
        loss: dict[str, Any] = {'type': 'mmseg.CrossEntropyLoss', 'avg_non_ignore': True}
        weights, note = _class_weights(task, spec)
        if weights is not None:
            loss['class_weight'] = weights
            notes.append(note)
        metric = {'type': 'mmbmtas.SemSegMetric', 'num_classes': number, **metric}
    elif spec['kind'] == 'binary':
        head |= {'num_classes': 1, 'output': 'probability'}
        loss = {'type': 'BalancedBCELoss', 'loss_weight': 5.0}
        metric = {'type': 'mmbmtas.SaliencyMetric', **metric}
    elif spec['kind'] == 'normals':
        head |= {'num_classes': 3, 'output': 'normals'}
        loss = {'type': 'NormalsL1Loss', 'loss_weight': 10.0}
        metric = {'type': 'mmbmtas.NormalsMetric', **metric}
    else:
        loss, note = _value_loss(task, head)
        notes.append(note)
        metric = _value_metric(spec, metric)
    return TaskPlan(
        task, {**head, 'target_key': f'gt_{task.name}', 'loss_decode': loss}, metric, notes
    )


def _class_weights(task: FoundTask, spec: dict[str, Any]) -> tuple[list[float] | None, str]:
    """Weights of the classes, where one is rare: by the root of how rare it is."""
    facts = task.facts
    if 'colours' in spec:
        stored: Sequence[float] = [r << 16 | g << 8 | b for r, g, b in spec['colours']]
    else:
        stored = spec.get('ids') or range(len(spec['classes']))
    counts = np.array([facts.counts.get(number, 0) for number in stored], float)
    shares = counts / max(counts.sum(), 1)
    fair = 1 / len(shares)
    rare = shares < _RARE * fair
    if not rare.any() or not counts.sum():
        return None, ''
    weights = np.where(rare, np.sqrt(_RARE * fair / np.maximum(shares, 1e-6)), 1.0)
    names = [f'{spec["classes"][i]} {shares[i]:.2%}' for i in np.flatnonzero(rare)]
    rounded = [round(float(weight), 2) for weight in np.minimum(weights, _MOST_WEIGHT)]
    return rounded, f'rare classes weigh more: {", ".join(names)} of the pixels'


def _value_loss(task: FoundTask, head: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A loss about 1 at the start, and a decoder that starts at the values' middle."""
    spec = task.guess.spec
    invalid = spec.get('invalid', [])
    known = task.facts.values(invalid if isinstance(invalid, list) else [invalid])
    values = known * spec.get('scale', 1.0) + spec.get('offset', 0.0)
    middle = float(np.median(values)) if values.size else 0.0
    spread = float(np.abs(values - middle).mean()) if values.size else 1.0
    weight = float(f'{1 / spread:.2g}') if spread > 0 else 1.0
    bias = float(f'{middle:.3g}')
    head |= {
        'num_classes': 1,
        'output': 'value',
        'init_cfg': {
            'type': 'Normal',
            'std': 0.01,
            'bias': bias,
            'override': {'name': 'conv_seg'},
        },
    }
    loss = {'type': 'DepthL1Loss', 'loss_weight': weight}
    if not spec.get('shrinks'):
        loss['ignore'] = None
    unit = spec.get('unit', '')
    low, high = (float(np.percentile(values, q)) if values.size else 0.0 for q in (1, 99))
    note = (
        f'values from {low:.3g} to {high:.3g} {unit}'.rstrip()
        + f': the loss weighs 1 / {spread:.2g}, the prediction starts at {bias:g}'
    )
    return loss, note


def _value_metric(spec: dict[str, Any], metric: dict[str, Any]) -> dict[str, Any]:
    if spec.get('shrinks') and spec.get('unit') == 'm':
        return {'type': 'mmbmtas.DepthMetric', **metric}
    ignore = {'ignore': 0} if spec.get('shrinks') else {}
    unit = {'unit': spec['unit']} if spec.get('unit') else {}
    return {'type': 'mmbmtas.ValueMetric', **metric, **ignore, **unit}


def _set_budget(plan: Plan) -> None:
    """Measure the networks between which all trees lie, and take the middle."""
    base = Config.fromfile(CONFIGS / '_base_' / 'models' / plan.device.base).model
    names = [task.found.name for task in plan.tasks]
    init_default_scope(SCOPE)
    with torch.device('meta'):  # shapes are all that counts
        model = MODELS.build(
            {
                'type': 'SearchEncoderDecoder',
                'backbone': {**base.backbone, 'type': 'BranchedSupernet', 'tasks': names},
                'decode_heads': {
                    task.found.name: {**plan.device.head, **task.head} for task in plan.tasks
                },
                'resource_loss': {'type': 'ResourceLoss', 'weight': 0.0},
                'cost_shape': plan.crop,
            }
        )
    cost = model.measure_cost()
    plan.shared, plan.apart = cost.shared().madds, cost.all_apart().madds
    plan.budget = float(f'{(plan.shared + plan.apart) / 2:.3g}')
