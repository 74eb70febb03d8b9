"""Numbers of a config that mean nothing are refused where they are stated."""

import math

import pytest

from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS, TASK_UTILS
from mmbmtas.structures.values import require_shape

NO_NUMBERS = (math.nan, math.inf, -math.inf, '1', None, True, [1])


@pytest.mark.parametrize('value', [0, -1, 17, 1e8, *NO_NUMBERS])
def test_widen_factor(value):
    with pytest.raises(InputError, match='widen_factor of MobileNetV2Encoder'):
        TASK_UTILS.build({'type': 'mmbmtas.MobileNetV2Encoder', 'widen_factor': value})


@pytest.mark.parametrize('encoder', ['MobileNetV2Encoder', 'ResNetEncoder'])
@pytest.mark.parametrize('value', [0, -8, 8.0, 10**8, '8', True])
def test_context_channels(encoder, value):
    cfg = {'type': f'mmbmtas.{encoder}', 'context_channels': value}
    with pytest.raises(InputError, match=f'context_channels of {encoder}'):
        TASK_UTILS.build(cfg | ({'depth': 18} if encoder == 'ResNetEncoder' else {}))


@pytest.mark.parametrize('value', [0, 19, -18, '50', 50.0, True, [18]])
def test_depth(value):
    with pytest.raises(InputError, match=r'depth .* of ResNetEncoder'):
        TASK_UTILS.build({'type': 'mmbmtas.ResNetEncoder', 'depth': value})


@pytest.mark.parametrize(
    'value',
    [
        *(512, (512,), (512, 512, 3), (0, 512), (512, -1), (10**8, 10**8), (512, 65_537)),
        *((512.0, 512), ('512', '512'), '512', '51', None, (True, True), {'height': 1, 'width': 2}),
    ],
)
def test_cost_shape(value, toys):
    config = toys.branched_config(('semseg', 'edge')) | {'cost_shape': value}
    with pytest.raises(InputError, match=r'cost_shape .*height and width'):
        toys.build(config)


def test_shapes_are_taken_as_they_are():
    assert require_shape('cost_shape', [425, 560]) == (425, 560)
    assert require_shape('cost_shape', (1, 65_536)) == (1, 65_536)


@pytest.mark.parametrize('value', [-0.1, 1, 1.5, math.nan, '0.1', True])
@pytest.mark.parametrize('backbone', ['BranchedNetwork', 'CrossStitchNetwork', 'MTAN'])
def test_dropout(backbone, value, toys):
    tasks = ('semseg', 'edge')
    config = toys.exchange_config(backbone, tasks)
    if backbone == 'BranchedNetwork':
        config = toys.branched_config(tasks)
    config['backbone']['dropout'] = value
    with pytest.raises(InputError, match=r'dropout .*from 0 to less than 1'):
        toys.build(config)


@pytest.mark.parametrize(
    ('config', 'name'),
    [
        ({'type': 'CrossStitchNetwork', 'alpha': math.nan}, 'alpha of CrossStitchNetwork'),
        ({'type': 'NDDRCNN', 'beta': '0.1'}, 'beta of NDDRCNN'),
    ],
)
def test_exchange(config, name, toys):
    with pytest.raises(InputError, match=name):
        MODELS.build({'tasks': ['a', 'b'], 'encoder': toys.MOBILENET, **config})


@pytest.mark.parametrize(
    'routing',
    [
        *({'type': 'TopKRouting', 'k': k} for k in (0, 1, 3, 2.0, '2', math.nan)),
        *({'type': 'ThresholdRouting', 'threshold': t} for t in (-0.1, 0.5, math.nan, '0.1')),
    ],
)
def test_routing(routing, toys):
    with pytest.raises(InputError, match=routing['type']):
        toys.supernet(('semseg', 'edge'), routing=routing)


@pytest.mark.parametrize(
    'balancing',
    [
        *({'type': 'DynamicWeightAverage', 'window': w} for w in (0, 2.5, '9')),
        *({'type': 'DynamicWeightAverage', 'temperature': t} for t in (0, math.nan, '2')),
        *({'type': 'GradNorm', 'alpha': a} for a in (-1, math.nan, '1')),
        *({'type': 'GradNorm', 'lr': lr} for lr in (0, math.inf, '1')),
    ],
)
def test_balancing(balancing, toys):
    config = toys.branched_config(('semseg', 'edge')) | {'loss_balancing': balancing}
    with pytest.raises(InputError, match=f'of {balancing["type"]}: expected'):
        toys.build(config)


@pytest.mark.parametrize('value', [-0.1, 1.1, math.nan, '0.9', True])
def test_positive_weight(value):
    with pytest.raises(InputError, match='positive_weight of BalancedBCELoss'):
        MODELS.build({'type': 'mmbmtas.BalancedBCELoss', 'positive_weight': value})
