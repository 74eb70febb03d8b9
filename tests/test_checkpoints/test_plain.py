"""What a training writes is read by torch's own safe loader, and nothing is lost unsaid."""

import enum
import io
import pickle
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer

from mmbmtas.checkpoints import load_from_local, network_weights, require_finite, to_plain


class Kind(str, enum.Enum):
    A = 'a'


class Number(enum.IntEnum):
    ONE = 1


def passed(content):
    """Write content and read it with nothing allowed but what torch itself allows."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_kinds_of_values():
    plain, left_out = to_plain(
        {
            'meta': ConfigDict(a=np.float32(0.5), b=np.int64(3), c=Path('a/b'), d=[(1, 'x', None)]),
            'counter': Counter({3: 1}),
            'text': np.str_('a'),
            'truth': np.bool_(True),
            'members': [Kind.A, Number.ONE],
        }
    )
    assert left_out == []
    assert passed(plain) == {
        'meta': {'a': 0.5, 'b': 3, 'c': 'a/b', 'd': [(1, 'x', None)]},
        'counter': {3: 1},
        'text': 'a',
        'truth': True,
        'members': ['a', 1],
    }
    assert type(plain['meta']) is dict
    assert type(plain['truth']) is bool


def test_plain_values_stay_the_same_objects():
    """mmengine compares data sets' metainfo by its pickle, which tells shared objects."""
    shared = ('a', 'b')
    meta = {'classes': [shared, shared], 'size': {'height': 3}}
    plain, _ = to_plain({'meta': meta})
    assert plain['meta'] is meta
    assert pickle.dumps(plain['meta']) == pickle.dumps(meta)


def test_a_state_dict_keeps_its_versions():
    state = torch.nn.BatchNorm1d(2).state_dict()
    state['extra'] = np.float64(1)
    plain, _ = to_plain({'state_dict': state})
    assert isinstance(plain['state_dict'], OrderedDict)
    assert passed(plain)['state_dict']._metadata[''] == {'version': 2}


def test_what_has_no_plain_form_is_named():
    plain, left_out = to_plain(
        {
            'mine': object(),
            'meta': {'tags': {1, 2}, 'list': [1, len]},
            'param_schedulers': [{'anneal_func': len, 'end': 5}],
        }
    )
    assert left_out == [
        'mine (object)',
        'meta.tags (set)',
        'meta.list[1] (builtin_function_or_method)',
    ]
    assert plain == {'meta': {'list': [1, None]}, 'param_schedulers': [{'end': 5}]}


def test_histories_come_back(tmp_path):
    history = HistoryBuffer([0.1, 0.7], [1, 2], max_length=5)
    plain, _ = to_plain({'state_dict': {}, 'message_hub': {'log_scalars': {'loss': history}}})
    passed(plain)
    torch.save(plain, tmp_path / 'a.pth')
    loaded = load_from_local(str(tmp_path / 'a.pth'))['message_hub']['log_scalars']['loss']
    for one, other in zip(loaded.data, history.data, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert loaded.max_length == 5
    loaded.update(1.0)
    assert loaded.current() == 1.0


@pytest.mark.parametrize('broken', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_named(broken):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    model.register_buffer('mask', torch.full([2], -torch.inf))  # not a weight
    require_finite(network_weights(model), 'a.pth')
    for name in ('0.bias', '1.running_var'):
        weights = {key: value.detach().clone() for key, value in network_weights(model).items()}
        weights[name][1] = broken
        with pytest.raises(ValueError, match=rf'a\.pth .* in 1 of 6 tensors, the first is {name}'):
            require_finite(weights, 'a.pth')
