"""What is read of a checkpoint, and what is refused; with torch's safe loader and with ours."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, save_checkpoint

from mmbmtas.checkpoints import load_from_local, read_checkpoint, unpickling


@pytest.fixture(params=[torch.__version__, '2.1.0'], ids=['this torch', 'torch 2.1'])
def _release(request, monkeypatch):
    """The way of reading of this release of torch, and that of older ones."""
    monkeypatch.setattr(torch, '__version__', request.param)


pytestmark = pytest.mark.usefixtures('_release')


@pytest.fixture
def training_state():
    """Weights and all that mmengine's own runner adds to them, as version 0.1.0 wrote them."""
    return {
        'meta': {'epoch': 0, 'iter': 3, 'dataset_meta': {'classes': ('a', 'b')}},
        'state_dict': {'weight': torch.arange(3.0), 'half': torch.ones(2, dtype=torch.bfloat16)},
        'optimizer': {'state': {}, 'param_groups': [{'lr': np.float64(0.1)}]},
        'message_hub': {
            'log_scalars': {'loss': HistoryBuffer([1.0, 3.0], [1, 1])},
            'runtime_info': {
                'eta': np.float32(2),
                'shape': np.array([4, 5]),
                'names': np.array(['a', 'bc']),
                'seen': np.array([True, False]),
            },
        },
    }


def check(loaded):
    assert torch.equal(loaded['state_dict']['weight'], torch.arange(3.0))
    history = loaded['message_hub']['log_scalars']['loss']
    assert history.mean() == 2.0
    assert history.statistics('max') == 3.0
    info = loaded['message_hub']['runtime_info']
    np.testing.assert_array_equal(info['shape'], [4, 5])
    np.testing.assert_array_equal(info['names'], ['a', 'bc'])
    np.testing.assert_array_equal(info['seen'], [True, False])
    assert info['eta'] == 2
    assert loaded['optimizer']['param_groups'][0]['lr'] == 0.1


def pickled(path):
    """The pickle in a checkpoint."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith('data.pkl')]
        return archive.read(name)


def with_pickle(path, content):
    """Replace the pickle in a checkpoint; its checksum is right again."""
    with zipfile.ZipFile(path) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
        for entry, old in entries:
            new = content if entry.filename.endswith('data.pkl') else old
            archive.writestr(entry.filename, new)


def test_training_state_is_read(tmp_path, training_state):
    save_checkpoint(training_state, str(tmp_path / 'a.pth'))
    check(CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'), 'cpu'))


@pytest.mark.parametrize('names', [b'numpy.core', b'numpy._core'])
def test_pickles_of_either_numpy_are_read(tmp_path, training_state, names):
    """numpy 1 names numpy.core.multiarray, numpy 2 numpy._core.multiarray (its release notes)."""
    torch.save(training_state, tmp_path / 'a.pth')
    content = pickled(tmp_path / 'a.pth')
    assert b'cnumpy.core.multiarray\n' in content or b'cnumpy._core.multiarray\n' in content
    assert b'c_codecs\nencode\n' in content  # how protocol 2 writes the bytes of an array
    for other in (b'numpy.core', b'numpy._core'):
        content = content.replace(b'c%s.multiarray\n' % other, b'c%s.multiarray\n' % names)
    with_pickle(tmp_path / 'a.pth', content)
    check(load_from_local(str(tmp_path / 'a.pth')))


def test_a_bare_pickle_of_old_releases_is_read(tmp_path):
    weights = {'weight': torch.arange(3.0)}
    torch.save(weights, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    assert torch.equal(load_from_local(str(tmp_path / 'a.pth'))['weight'], torch.arange(3.0))


class Bomb:
    """Unpickled freely, it calls what it was given."""

    def __init__(self, call, *arguments):
        self.call = call, arguments

    def __reduce__(self):
        return self.call


class Stranger:
    """An object that no checkpoint of ours holds."""


def bombs(mark):
    return {
        'system': Bomb(os.system, f'touch {mark}'),
        'eval': Bomb(eval, f'open({str(mark)!r}, "w")'),
        'open': Bomb(open, str(mark), 'w'),
        'load': Bomb(torch.load, str(mark)),
        'getattr': Bomb(getattr, torch.load, '__globals__'),
        'class': Bomb(Stranger),
        'object': Stranger(),
        'objects': np.array([Stranger()], dtype=object),
    }


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('kind', [*bombs('')])
def test_what_runs_code_is_refused(tmp_path, kind, legacy):
    bomb = bombs(tmp_path / 'mark')[kind]
    for place in ({'state_dict': {}, 'meta': {'a': bomb}}, bomb):
        torch.save(place, tmp_path / 'a.pth', _use_new_zipfile_serialization=not legacy)
        with pytest.raises(ValueError, match=r'a\.pth is not a checkpoint that can be read safely'):
            load_from_local(str(tmp_path / 'a.pth'))
    assert not (tmp_path / 'mark').exists()


@pytest.mark.parametrize(
    'opcodes',
    [
        # The object would be made by INST, OBJ or NEWOBJ_EX, which checkpoints don't use.
        b'(S"touch"\nios\nsystem\n.',
        b'(cos\nsystem\nS"touch"\no.',
        b'\x80\x04cbuiltins\nobject\n)}\x92.',
        # A function or a class of the table would be given attributes.
        b'ctorch._utils\n_rebuild_tensor_v2\nN}S"x"\nK\x01s\x86b.',
        b'cmmengine.logging.history_buffer\nHistoryBuffer\nN}S"min"\nK\x01s\x86b.',
        # What a table entry returns would be called.
        b'cbuiltins\ngetattr\ncmmengine.logging.history_buffer\nHistoryBuffer\nX\x03\x00\x00\x00min'
        b'\x86R)R.',
        b'c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.',
    ],
)
def test_what_twists_the_allowed_is_refused(tmp_path, opcodes):
    torch.save({}, tmp_path / 'a.pth')
    with_pickle(tmp_path / 'a.pth', opcodes)
    with pytest.raises(ValueError, match=r'can be read safely|expected a dict'):
        load_from_local(str(tmp_path / 'a.pth'))
    assert HistoryBuffer([2.0], [1]).min() == 2.0
    assert not hasattr(torch._utils._rebuild_tensor_v2, 'x')


def test_a_config_in_an_old_checkpoint_is_not_run(tmp_path):
    """mmengine.Runner.resume runs meta['config'], which mmcv 1 wrote, as Python."""
    code = f'open({str(tmp_path / "mark")!r}, "w")'
    torch.save({'state_dict': {}, 'meta': {'config': code, 'iter': 3}}, tmp_path / 'a.pth')
    assert load_from_local(str(tmp_path / 'a.pth'))['meta'] == {'iter': 3}


def test_programs_and_archives_are_refused(tmp_path):
    """torch.load runs the one, and unpacks the other, before it asks what they hold."""
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / 'script.pth')
    with pytest.raises(ValueError, match=r'script\.pth is a TorchScript program'):
        load_from_local(str(tmp_path / 'script.pth'))
    with tarfile.open(tmp_path / 'archive.pth', 'w') as archive:
        archive.addfile(tarfile.TarInfo('storages'), io.BytesIO())
    with pytest.raises(ValueError, match=r'archive\.pth is an archive'):
        load_from_local(str(tmp_path / 'archive.pth'))


@pytest.mark.parametrize('content', [b'', b'hello', b'PK\x03\x04 cut short', pickle.dumps(1)])
def test_other_files_are_named(tmp_path, content):
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.pth is not a checkpoint that can be read safely'):
        load_from_local(str(tmp_path / 'a.pth'))


@pytest.mark.parametrize('place', [0.1, 0.5, 0.9])
def test_a_single_damaged_byte_is_seen(tmp_path, place):
    """torch itself does not look at the checksums of its files."""
    torch.save({'state_dict': {'weight': torch.arange(9000.0)}}, tmp_path / 'a.pth')
    content = bytearray((tmp_path / 'a.pth').read_bytes())
    content[int(place * len(content))] ^= 0xFF
    (tmp_path / 'a.pth').write_bytes(content)
    assert torch.load(tmp_path / 'a.pth', weights_only=True)
    with pytest.raises(ValueError, match=r'a\.pth is damaged'):
        load_from_local(str(tmp_path / 'a.pth'))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'a\.pth is not a checkpoint file'):
        load_from_local(str(tmp_path / 'a.pth'))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1], 'a list: expected a dict'),
        (torch.ones(2), 'a Tensor: expected a dict'),
        ({'state_dict': None}, 'its state_dict is a NoneType'),
        ({'state_dict': [1]}, 'its state_dict is a list'),
        ({'state_dict': {1: torch.ones(2)}}, 'its state_dict has an entry 1, expected names'),
        ({'state_dict': {}, 'meta': [1]}, 'its meta is a list'),
        ({'state_dict': {}, 'meta': {'iter': '5'}}, 'its meta.iter is a str'),
        ({'state_dict': {}, 'meta': {'epoch': -3}}, 'its meta.epoch is -3, expected a number'),
        ({'state_dict': {}, 'meta': {'dataset_meta': 5}}, 'its meta.dataset_meta is a int'),
        ({'state_dict': {}, 'optimizer': [1]}, 'its optimizer is a list'),
        ({'state_dict': {}, 'message_hub': 1}, 'its message_hub is a int'),
    ],
)
def test_fields_of_other_types_are_named(tmp_path, content, message):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=message):
        load_from_local(str(tmp_path / 'a.pth'))


def test_bytes_are_read_as_a_file_is(tmp_path, training_state):
    torch.save(training_state, tmp_path / 'a.pth')
    check(read_checkpoint(io.BytesIO((tmp_path / 'a.pth').read_bytes()), 'a', 'cpu'))


def test_getattr_reaches_the_statistics_only():
    assert unpickling._history_statistic(HistoryBuffer, 'mean') is HistoryBuffer.mean
    for owner, name in ((HistoryBuffer, '__init__'), (torch, 'load')):
        with pytest.raises(pickle.UnpicklingError, match='not allowed'):
            unpickling._history_statistic(owner, name)
