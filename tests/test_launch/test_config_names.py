"""Names that config files assign in vain."""

import pytest

from mmbmtas import launch
from mmbmtas.launch.config_names import file_that_states, read_names, unread_names


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def found(path):
    """List the names that are stated again, by file."""
    listed = [(file.name, names, bases) for file, names, bases in unread_names(path)]
    return [
        (file, name)
        for file, names, bases in listed
        for name in sorted(names - {'model'})
        if any(file_that_states(base, name) for base in bases)
    ]


@pytest.fixture
def base(write):
    return write('base.py', 'size = 3\nhead = dict(a=1)\nmodel = dict(size=size, head=head)\n')


@pytest.mark.parametrize('how', ['text', 'read_base', 'list'])
def test_what_the_base_has_used_already(write, base, how):
    heads = {
        'text': "_base_ = './base.py'\n",
        'list': "_base_ = ['./base.py']\n",
        'read_base': 'with read_base():\n    from .base import *\n',
    }
    own = write('own.py', heads[how] + 'size = 4\nmax_iters = 1\nmine = 3\n_size = 5\n')
    assert found(own) == [('own.py', 'size')]
    own = write('own.py', heads[how] + 'size = 4\nmodel = dict(size=size)\n')
    assert found(own) == []


def test_what_a_file_further_on_uses(write, base):
    write('middle.py', "_base_ = './base.py'\nsize = 4\nhead = dict(a=2)\n")
    own = write('own.py', "_base_ = './middle.py'\nmodel = dict(size=_base_.size)\n")
    assert found(own) == [('middle.py', 'head')]
    own = write('own.py', "_base_ = './middle.py'\nmodel = dict(size={{_base_.size}}, h=head)\n")
    assert found(own) == []


def test_misspelt_keys(write):
    path = write('own.py', 'max_iter = 3\nnote = 1\nmodel = dict()\n')
    with pytest.raises(ValueError, match=r"own\.py: nothing reads 'max_iter': .* 'max_iters'"):
        launch.read_config(str(path))
    # What mmengine writes of a config has its helping names too.
    path = write('own.py', 'test_pipeline = 3\ntrain_pipeline = 4\nsize = 5\nmodel = dict()\n')
    assert launch.read_config(str(path)).size == 5


def test_the_file_that_states_a_name(write, base):
    own = write('own.py', "_base_ = './base.py'\nhead = dict(a=2)\n")
    assert file_that_states(own, 'head') == own
    assert file_that_states(own, 'size') == base
    assert file_that_states(own, 'nothing') is None


@pytest.mark.parametrize('name', ['broken.py', 'config.json', 'lost.py'])
def test_other_files_have_no_names(tmp_path, name):
    path = tmp_path / name
    if name != 'lost.py':
        path.write_text('{"_base_": {{ }')
    assert read_names(path) == read_names(tmp_path / 'lost.py')
    assert not read_names(path).assigned


def test_reading_refuses_them(write, pytestconfig):
    scenes = pytestconfig.rootpath / 'configs' / 'branched_scenes.py'
    own = write('own.py', f'_base_ = {str(scenes)!r}\ncrop_size = (96, 96)\n')
    how = r'scenes\.py has used this name\. .*print_config\.py'
    with pytest.raises(ValueError, match=rf'own\.py: crop_size = \.\.\. has no effect: .*{how}'):
        launch.read_config(str(own))
    own = write('own.py', f'_base_ = {str(scenes)!r}\nmax_iter = 3\n')
    with pytest.raises(ValueError, match=r"own\.py: nothing reads 'max_iter': did you mean"):
        launch.read_config(str(own))
