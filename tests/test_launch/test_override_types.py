"""Overrides of a type that nothing could read, and those that may be."""

import argparse

import pytest
from mmengine.config import Config

from mmbmtas.errors import InputError
from mmbmtas.launch.override_types import check_override_types
from mmbmtas.launch.overrides import OverrideAction

CONFIG = Config(
    {
        'tasks': ['a', 'b'],
        'data_root': 'data',
        'pretrained': None,
        'architecture': {'routing': {}},
        'model': {'shape': (128, 160), 'head': {'channels': 8}, 'init_cfg': None},
        'optim_wrapper': {
            'optimizer': {'lr': 0.1, 'momentum': 0.9, 'nesterov': False, 'type': 'SGD'}
        },
        'param_scheduler': [{'end': 5}],
        'hooks': [],
    }
)


@pytest.mark.parametrize(
    ('option', 'value', 'told'),
    [
        ('model', 5, 'a dict: name its entries, such as model.shape'),
        ('model.head', 'small', r'a dict: name its entries, such as model.head.channels'),
        ('model.head.channels', 'many', 'a number, such as 8'),
        ('model.head.channels', [8], 'a number, such as 8'),
        ('model.shape', 5, r'a list such as \[128,160\]'),
        ('model.shape', ['a', 'b'], r'numbers, as in \[128,160\]'),
        ('hooks', 'x', r'a list such as \[\]'),
        ('optim_wrapper.optimizer.momentum', 'fast', 'a number, such as 0.9'),
        ('optim_wrapper.optimizer.nesterov', 'maybe', 'True or False'),
        ('param_scheduler.0.end', 'x', 'a number, such as 5'),
    ],
)
def test_other_types_are_refused(option, value, told):
    with pytest.raises(InputError, match=f'^{option}=.*: expected {told}'):
        check_override_types(CONFIG, {option: value})


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('tasks', 'a'),
        ('tasks', ('a',)),
        ('pretrained', 'a.pth'),
        ('architecture', 'a.json'),
        ('model.init_cfg', {'type': 'X'}),
        ('model.head', None),
        ('model.head.channels', 8.0),
        ('model.shape', [64, 64]),
        ('optim_wrapper.optimizer.lr', 1),
        ('optim_wrapper.optimizer.nesterov', 1),
        ('optim_wrapper.optimizer.type', 'Adam'),
        ('optim_wrapper.optimizer.betas', 'new'),
        ('param_scheduler', []),
        ('hooks', [1]),
    ],
)
def test_types_that_may_be(option, value):
    check_override_types(CONFIG, {option: value})


@pytest.mark.parametrize(
    ('word', 'told'),
    [
        ('a.b=dict(c=1)', 'set its entries, such as a.b.NAME=VALUE'),
        ('a.b=dict(c=1,d=2)', 'set its entries, such as a.b.NAME=VALUE'),
        ("a={'c':1}", 'set its entries, such as a.NAME=VALUE'),
        ('a=[dict(c=1),dict(c=2)]', 'a dict cannot be given'),
        ('a=[1,2', 'the brackets of the value do not match'),
        ('a=1]', 'the brackets of the value do not match'),
        ('a..b=1', 'names joined by single dots'),
        ('=1', 'expected a name'),
    ],
)
def test_words_that_cannot_be_read(word, told, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', word])
    assert told in capsys.readouterr().err
