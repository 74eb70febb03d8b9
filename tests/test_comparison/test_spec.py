"""Files that list the models of a comparison, good and bad."""

import argparse

import pytest
from mmengine.config import DictAction

from mmbmtas.comparison.options import format_option
from mmbmtas.comparison.spec import read_comparison

GOOD = """
search = 'configs/search_scenes.py'
branched = 'configs/branched_scenes.py'
seeds = [0, 3]
cfg_options = {'a.b': 1, 'c': dict(d=2)}
train_options = dict(max_iters=7)
search_options = dict(weight_iters=5)
models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared', options={'a.b': 9}),
    searched=dict(kind='searched', search_options={'c.d': 3}),
    random=dict(kind='random', number=2),
    fafs=dict(kind='fafs', alpha=[0.5, 2], seeds=[3]),
    bmn=dict(kind='bmn', budget=6e7),
)
"""


@pytest.fixture
def read(tmp_path, pytestconfig, monkeypatch):
    """Read a comparison's text, from the repository's folder."""
    monkeypatch.chdir(pytestconfig.rootpath)

    def read_text(text, overrides=None):
        path = tmp_path / 'spec.py'
        path.write_text(text)
        return read_comparison(str(path), overrides)

    return read_text


def test_defaults_and_options_reach_the_models(read):
    comparison = read(GOOD)
    models = {model.name: model for model in comparison.models}
    assert [*models] == ['single', 'shared', 'searched', 'random', 'fafs_0.5', 'fafs_2', 'bmn']
    assert models['single'].options == {'a.b': 1, 'c.d': 2, 'max_iters': 7}
    assert models['shared'].options == {'a.b': 9, 'c.d': 2, 'max_iters': 7}
    searched = models['searched']
    assert searched['search'] == 'configs/search_scenes.py'
    assert searched['search_options'] == {'a.b': 1, 'c.d': 3, 'weight_iters': 5}
    assert (models['random']['reference'], models['random'].number) == ('searched', 2)
    assert models['random']['tolerance'] == 0.02
    assert [models[name]['alpha'] for name in ('fafs_0.5', 'fafs_2')] == [0.5, 2]
    assert (models['fafs_2'].seeds, models['bmn'].seeds) == ((3,), (0, 3))
    assert (models['bmn']['reference'], models['bmn']['single']) == (None, 'single')
    assert comparison.first('searched') is searched


def test_what_the_command_line_can_say_is_taken(read):
    options = {'a': [1, (2.5, None)], 'b': (), 'c': 'x=1', 'd': 1e-9, 'e': True, 'f': ('s',)}
    comparison = read(GOOD + f'train_options = {options!r}\n')
    assert comparison.options == {'a.b': 1, 'c.d': 2, **options}
    words = [f'{key}={format_option(value)}' for key, value in comparison.options.items()]
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    assert parser.parse_args(['--cfg-options', *words]).cfg_options == comparison.options


def test_overrides_replace_entries(read):
    comparison = read(GOOD, {'data_root': 'elsewhere', 'seeds': [3], 'models.random.number': 1})
    assert comparison.data_root == 'elsewhere'
    assert comparison.model('random').number == 1
    assert {model.seeds for model in comparison.models} == {(3,)}


def _with(line, old='', new=''):
    return GOOD.replace(old, new) + line + '\n'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is empty: expected the entries'),
        (_with('models = {}'), 'models is empty'),
        (_with('models = [1]'), r'models should be a dict, not \[1\]'),
        (_with('epochs = 3'), "unknown key 'epochs', expected some of"),
        (_with('', "branched = 'configs/branched_scenes.py'"), 'branched, the config'),
        (_with("models['x'] = dict(kind='best')"), "x: kind 'best', expected one of"),
        (_with("models['x'] = 3"), 'x: kind 3, expected one of'),
        (_with("models['a/b'] = dict(kind='shared')"), 'a/b: names consist of'),
        (_with("models['single']['alpha'] = 1"), "single: unknown key 'alpha'"),
        (_with("models['random']['number'] = 0"), 'random: number 0, expected'),
        (_with("models['random']['tolerance'] = 1.5"), 'random: tolerance 1.5, expected'),
        (_with("models['bmn']['budget'] = -1"), 'bmn: budget -1, expected'),
        (_with("models['fafs']['alpha'] = []"), r'fafs: alpha \[\], expected'),
        (_with("models['shared']['seeds'] = [1, 1]"), r'shared: seeds \[1, 1\], expected'),
        (_with("models['shared']['seeds'] = []"), r'shared: seeds \[\], expected'),
        (_with("models['shared']['seeds'] = [-1]"), r'seeds \[-1\], expected'),
        (_with("models['fafs']['seeds'] = [1]"), r'its shared shared lacks \[1\]'),
        (_with("models.pop('shared')"), "fafs_0.5: needs a model of kind 'shared'"),
        (_with("models.pop('searched')"), "random: needs a model of kind 'searched'"),
        (_with("models['random']['reference'] = 'best'"), "random: reference 'best', expected"),
        (_with("models['random']['reference'] = 'single'"), "reference 'single', expected"),
        (_with("models['random']['reference'] = 'random'"), "reference 'random', expected"),
        (
            _with("models['v'] = dict(kind='vanilla', reference='random')"),
            r"v: reference 'random' has 2 trees per seed \(number\), expected a model with one",
        ),
        (_with('train_options = dict(hooks={})'), 'train_options: hooks = {} cannot be handed'),
        (_with("cfg_options = {'a': [dict(b=1)]}"), r'cfg_options: a = \[{.b.: 1}\] cannot be'),
        (_with("models['shared']['options'] = {'a.b': 'x,y'}"), "options: a.b = 'x,y' cannot be"),
        (_with("models['shared']['options'] = dict(a=dict(b='1'))"), "a: b = '1' cannot be"),
        (_with("models['shared']['options'] = dict(a='x(,')"), r"a = 'x\(,' cannot be handed"),
        (_with("models['searched']['search_options'] = {'a': 'x y'}"), "search_options: a = 'x y'"),
        (_with("models['shared']['options'] = 3"), 'shared: options should be a dict, not 3'),
        (_with("models['bmn']['reference'] = 'searched'"), 'reference or budget, not both'),
        (
            _with("models['x'] = dict(kind='tree')"),
            'x: architecture, the file of the tree',
        ),
        (_with("models['x'] = dict(kind='exchange')"), 'x: config, the config to train, is miss'),
        (_with('', "search = 'configs/search_scenes.py'"), 'searched: no config of the search'),
        (_with("headlines = ['edge']"), r"headlines = \['edge'\]: expected a list of names"),
        (_with("headlines = 'edge/odsF'"), "headlines = 'edge/odsF': expected a list of names"),
        (
            _with(
                "models['v'] = dict(kind='vanilla', reference='w')\n"
                "models['w'] = dict(kind='vanilla', reference='v')"
            ),
            'v: refers to itself: v -> w -> v',
        ),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ("branched = 'lost.py'", "branched's file lost.py not found here"),
        ("models['searched']['search'] = 'lost.py'", 'searched: search lost.py not found here'),
        (
            "models['x'] = dict(kind='tree', architecture='l.json')",
            'architecture l.json not found',
        ),
    ],
)
def test_missing_files_are_named(read, line, message):
    with pytest.raises(FileNotFoundError, match=message):
        read(_with(line))


def test_the_file_itself_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='no such file'):
        read_comparison(str(tmp_path / 'lost.py'))
