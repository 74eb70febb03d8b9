"""Every way to name a checkpoint ends in the same safe reading; downloads are told apart."""

import functools
import hashlib
import http.server
import os
import threading

import pytest
import torch
from mmengine.fileio import backends
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mm

from mmbmtas.checkpoints import packages, register_loaders, sources
from mmbmtas.checkpoints.sources import digest_in_name, download


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f'touch {self.mark}',)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, and the address at which it is served; torch's cache is empty."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    monkeypatch.setenv('no_proxy', '*')
    folder = tmp_path / 'served'
    for name in ('a', 'b'):
        (folder / name).mkdir(parents=True)
        torch.save(
            {'state_dict': {'backbone.w': torch.ones(2)}, 'name': name}, folder / name / 'net.pth'
        )
    handler = type(
        'Quiet', (http.server.SimpleHTTPRequestHandler,), {'log_message': lambda *_: None}
    )
    server = http.server.ThreadingHTTPServer(
        ('127.0.0.1', 0), functools.partial(handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{server.server_address[1]}'
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(served, monkeypatch):
    """Names that stand for files at that address, in each of mmengine's tables."""
    folder, address = served
    names = {'net': f'{address}/a/net.pth', 'bomb': f'{address}/a/bomb.pth'}
    for table in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(mm, table, lambda: dict(names))
    monkeypatch.setattr(mm, 'get_deprecated_model_names', lambda: {'old': 'net'})
    storage = {'get': lambda self, name: (folder / 'a' / name.rpartition('/')[2]).read_bytes()}
    backend = type('Storage', (backends.LocalBackend,), storage)
    monkeypatch.setitem(backends.registry_utils.backends, 'petrel', backend)
    return folder / 'a'


PREFIXES = [
    'torchvision://{}',
    'modelzoo://{}',
    'open-mmlab://{}',
    'openmmlab://{}',
    'mmcls://{}',
    's3://bucket/{}.pth',
    'petrel://bucket/{}.pth',
    'cluster:s3://bucket/{}.pth',
]


@pytest.mark.parametrize('name', PREFIXES)
def test_published_names_are_read_safely(published, tmp_path, name):
    torch.save({'state_dict': {}, 'meta': Bomb(tmp_path / 'mark')}, published / 'bomb.pth')
    with pytest.raises(ValueError, match='is not a checkpoint that can be read safely'):
        CheckpointLoader.load_checkpoint(name.format('bomb'))
    assert not (tmp_path / 'mark').exists()
    weights = CheckpointLoader.load_checkpoint(name.format('net'))['state_dict']
    assert [*weights] == ['w' if name.startswith('mmcls') else 'backbone.w']
    if '//{}' in name:
        with pytest.raises(ValueError, match="under the name 'nett': did you mean 'net'"):
            CheckpointLoader.load_checkpoint(name.format('nett'))


def test_names_that_changed_are_found(published):
    assert CheckpointLoader.load_checkpoint('open-mmlab://old')['name'] == 'a'


def test_names_of_files_in_mmengines_home(published, tmp_path, monkeypatch):
    monkeypatch.setenv('MMENGINE_HOME', str(published))
    monkeypatch.setattr(mm, 'get_external_models', lambda: {'mine': 'net.pth'})
    assert CheckpointLoader.load_checkpoint('open-mmlab://mine')['name'] == 'a'


def test_an_address_is_read_safely(served, tmp_path):
    folder, address = served
    torch.save({'meta': Bomb(tmp_path / 'mark')}, folder / 'bomb.pth')
    with pytest.raises(
        ValueError, match=r'http://.*bomb\.pth is not a checkpoint that can be read'
    ):
        CheckpointLoader.load_checkpoint(f'{address}/bomb.pth')
    assert not (tmp_path / 'mark').exists()
    assert not [*(tmp_path / 'hub').rglob('bomb.pth')]  # another try downloads it again


def test_files_of_one_name_at_two_addresses_are_two_files(served):
    _, address = served
    names = [CheckpointLoader.load_checkpoint(f'{address}/{x}/net.pth')['name'] for x in 'aba']
    assert names == ['a', 'b', 'a']
    queries = [f'{address}/a/net.pth?version={n}' for n in (1, 2)]
    assert download(queries[0]) != download(queries[1])


def test_a_file_is_downloaded_once(served):
    folder, address = served
    first = download(f'{address}/a/net.pth')
    (folder / 'a' / 'net.pth').unlink()
    assert download(f'{address}/a/net.pth') == first


class TestDigest:
    @pytest.fixture
    def named(self, served):
        """A file named by its digest, as sha256sum prints it."""
        folder, address = served
        content = (folder / 'a' / 'net.pth').read_bytes()
        name = f'net_20210831-{hashlib.sha256(content).hexdigest()[:8]}.pth'
        (folder / name).write_bytes(content)
        return folder / name, f'{address}/{name}'

    def test_the_right_file(self, named):
        assert CheckpointLoader.load_checkpoint(named[1])['name'] == 'a'

    def test_another_file(self, named, tmp_path):
        named[0].write_bytes((named[0].parent / 'b' / 'net.pth').read_bytes())
        with pytest.raises(ValueError, match='is not the file that its name promises'):
            CheckpointLoader.load_checkpoint(named[1])
        assert not [*(tmp_path / 'hub').rglob('*.pth')]

    def test_a_cached_file_that_was_spoilt_is_downloaded_again(self, named):
        path = download(named[1])
        path.write_bytes(b'spoilt')
        assert CheckpointLoader.load_checkpoint(named[1])['name'] == 'a'

    def test_one_in_torchs_own_cache_serves(self, named, tmp_path):
        cache = tmp_path / 'hub' / 'hub' / 'checkpoints'
        cache.mkdir(parents=True)
        os.rename(named[0], cache / named[0].name)
        assert CheckpointLoader.load_checkpoint(named[1])['name'] == 'a'

    @pytest.mark.parametrize(
        ('name', 'digest'),
        [
            ('resnet18-f37072fd.pth', 'f37072fd'),
            ('resnet18_8xb32_in1k_20210831-fbbb1da6.pth', 'fbbb1da6'),
            ('net-20210831.pth', None),
            ('net-99999999.pth', '99999999'),
            ('resnet-50.pth', None),
            ('net-v2.pth', None),
            ('fbbb1da6.pth', None),
        ],
    )
    def test_in_names(self, name, digest):
        assert digest_in_name(name) == digest


@pytest.mark.parametrize('name', ['/lost.pth', ':1/a.pth'])
def test_what_cannot_be_downloaded_is_named(served, name):
    address = served[1] if name.startswith('/') else 'http://127.0.0.1'
    with pytest.raises(ValueError, match=rf'{name} cannot be downloaded'):
        CheckpointLoader.load_checkpoint(address + name)


def test_a_missing_library_is_named(monkeypatch):
    with pytest.raises(ValueError, match=r's3://a/b\.pth cannot be read here: .*petrel'):
        CheckpointLoader.load_checkpoint('s3://a/b.pth')


def test_no_loader_of_mmengine_is_left(monkeypatch):
    schemes = dict(CheckpointLoader._schemes)
    monkeypatch.setattr(CheckpointLoader, '_schemes', schemes)
    ours = {loader.__module__ for loader in schemes.values()}
    assert ours == {sources.__name__, packages.__name__}
    CheckpointLoader.register_scheme('strange://', lambda *_: pytest.fail('was called'))
    register_loaders()
    for name in ('strange://a.pth', 'pavi://a.pth'):
        with pytest.raises(ValueError, match=f'{name}: checkpoints at such addresses cannot be'):
            CheckpointLoader.load_checkpoint(name)


def test_main_process_downloads_first(served, monkeypatch):
    """The others wait, and it lets them go on however it ends."""
    _, address = served
    for is_main, url in ((True, 'a/net.pth'), (False, 'a/net.pth'), (True, 'lost.pth')):
        calls = []
        monkeypatch.setattr(sources, 'is_main_process', lambda is_main=is_main: is_main)
        monkeypatch.setattr(sources, 'barrier', lambda calls=calls: calls.append('barrier'))
        own = sources.download
        monkeypatch.setattr(
            sources, 'download', lambda url, own=own, calls=calls: calls.append('file') or own(url)
        )
        try:
            CheckpointLoader.load_checkpoint(f'{address}/{url}')
        except ValueError:
            assert url == 'lost.pth'
        monkeypatch.setattr(sources, 'download', own)
        assert calls == (['file', 'barrier'] if is_main else ['barrier', 'file'])
