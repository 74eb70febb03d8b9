"""Checkpoints are whole wherever a run ends, and a whole one is found again."""

import errno
import logging
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger

from mmbmtas.engine import checkpoint_files
from mmbmtas.engine.checkpoint_files import WholeFileBackend, find_whole_checkpoint, is_whole


def save(path, number=0):
    torch.save({'number': number, 'weights': torch.arange(1000)}, path)
    os.utime(path, (number, number))
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])
    return path


def spoil(path):
    content = bytearray(path.read_bytes())
    middle = content.index(torch.arange(100).numpy().tobytes())
    content[middle + 50] += 1
    path.write_bytes(content)
    return path


@pytest.fixture
def warnings():
    """Records of mmengine's current logger."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


class TestIsWhole:
    def test_checkpoint(self, tmp_path):
        assert is_whole(save(tmp_path / 'a.pth'))

    @pytest.mark.parametrize('damage', [cut, spoil, lambda path: path.write_bytes(b'') or path])
    def test_damaged(self, tmp_path, damage):
        assert not is_whole(damage(save(tmp_path / 'a.pth')))

    def test_damage_that_looks_like_something_else(self, tmp_path):
        """Other names, encryption, compression: whatever single bits say, it is an answer."""
        path = save(tmp_path / 'a.pth')
        content = path.read_bytes()
        for position in range(content.index(b'PK\x01\x02'), len(content)):
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            path.write_bytes(damaged)
            assert is_whole(path) in (False, True)

    @pytest.mark.parametrize('names', [[], ['notes.txt']])
    def test_another_archive(self, tmp_path, names):
        with zipfile.ZipFile(tmp_path / 'iter_1.pth', 'w') as archive:
            for name in names:
                archive.writestr(name, 'text')
        assert not is_whole(tmp_path / 'iter_1.pth')

    def test_missing(self, tmp_path):
        assert not is_whole(tmp_path / 'lost.pth')


class TestFind:
    def test_nothing(self, tmp_path):
        assert find_whole_checkpoint(tmp_path) is None
        assert find_whole_checkpoint(tmp_path / 'lost') is None
        save(tmp_path / 'best_miou_iter_3.pth')  # has no optimiser's state
        assert find_whole_checkpoint(tmp_path) is None

    def test_the_named_one(self, tmp_path, warnings):
        """Others may be those of an earlier run in the folder."""
        for number in (100, 1000):
            save(tmp_path / f'iter_{number}.pth', number)
        (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_100.pth'))
        assert find_whole_checkpoint(tmp_path) == tmp_path / 'iter_100.pth'
        assert not warnings

    def test_in_a_folder_that_was_moved(self, tmp_path):
        save(tmp_path / 'iter_100.pth')
        (tmp_path / 'last_checkpoint').write_text('/somewhere/else/iter_100.pth')
        assert find_whole_checkpoint(tmp_path) == tmp_path / 'iter_100.pth'

    @pytest.mark.parametrize('record', ['iter_300.pth', '', None])
    @pytest.mark.parametrize('damage', [cut, spoil])
    def test_damaged_ones_are_passed_over(self, tmp_path, warnings, record, damage):
        for number in (100, 200, 300):
            save(tmp_path / f'iter_{number}.pth', number)
        damage(tmp_path / 'iter_300.pth')
        os.utime(tmp_path / 'iter_300.pth', (300, 300))
        if record is not None:
            (tmp_path / 'last_checkpoint').write_text(record)
        assert find_whole_checkpoint(tmp_path) == tmp_path / 'iter_200.pth'
        (warning,) = warnings
        assert warning.levelno == logging.WARNING
        assert f'{tmp_path / "iter_300.pth"} is damaged' in warning.getMessage()

    @pytest.mark.parametrize('named', [True, False])
    def test_in_the_folder_that_the_hook_writes_to(self, tmp_path, warnings, named):
        out_dir = tmp_path / 'out' / tmp_path.name
        out_dir.mkdir(parents=True)
        save(out_dir / 'iter_1.pth', 1)
        if named:
            cut(save(out_dir / 'iter_2.pth', 2))
        (tmp_path / 'last_checkpoint').write_text(str(out_dir / 'iter_2.pth'))
        assert find_whole_checkpoint(tmp_path) == out_dir / 'iter_1.pth'
        assert len(warnings) == named

    def test_in_a_folder_that_was_copied(self, tmp_path):
        """The original goes its own way, here or elsewhere."""
        for name in ('original', 'copy'):
            (tmp_path / name).mkdir()
            save(tmp_path / name / 'iter_1.pth')
        (tmp_path / 'copy' / 'last_checkpoint').write_text(str(tmp_path / 'original/iter_1.pth'))
        assert find_whole_checkpoint(tmp_path / 'copy') == tmp_path / 'copy' / 'iter_1.pth'

    @pytest.mark.parametrize('record', [b'\xff\xfe\x00', b'\0' * 40, b'x' * 5000, b'/'])
    def test_a_record_that_is_damaged(self, tmp_path, record):
        save(tmp_path / 'iter_1.pth')
        (tmp_path / 'last_checkpoint').write_bytes(record)
        assert find_whole_checkpoint(tmp_path) == tmp_path / 'iter_1.pth'

    def test_none_is_whole(self, tmp_path, warnings):
        cut(save(tmp_path / 'iter_1.pth'))
        (tmp_path / 'last_checkpoint').write_text('iter_1.pth')
        assert find_whole_checkpoint(tmp_path) is None
        assert len(warnings) == 1


class TestWriting:
    def test_a_file_appears_when_it_is_on_the_disk(self, tmp_path, monkeypatch):
        path = tmp_path / 'new' / 'a.pth'
        synced = []
        monkeypatch.setattr(checkpoint_files.os, 'fsync', lambda _: synced.append(path.exists()))
        for content in (b'one', b'two'):
            WholeFileBackend().put(content, str(path))
            assert path.read_bytes() == content
        assert synced == [False, True]
        assert [*path.parent.iterdir()] == [path]

    @pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk(self, tmp_path, monkeypatch, number):
        path = tmp_path / 'a.pth'
        path.write_bytes(b'old')

        def refuse(_):
            raise OSError(number, 'full')

        monkeypatch.setattr(checkpoint_files.os, 'fsync', refuse)
        with pytest.raises(OSError, match=r'no space for the 2\.5 MB of .*a\.pth: .* MB are') as e:
            WholeFileBackend().put(bytes(2_500_000), path)
        assert e.value.errno == number
        assert path.read_bytes() == b'old'
        assert [*tmp_path.iterdir()] == [path]

    def test_other_errors_stay(self, tmp_path):
        (tmp_path / 'file').touch()
        with pytest.raises(FileExistsError):
            WholeFileBackend().put(b'', tmp_path / 'file' / 'a.pth')

    def test_a_disk_that_is_really_full(self, tmp_path):
        command = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(tmp_path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip('needs the right to mount')
        try:
            WholeFileBackend().put(bytes(600_000), tmp_path / 'a.pth')
            with pytest.raises(OSError, match=r'0\.6 MB of .*: 0\.4 MB are free') as caught:
                WholeFileBackend().put(bytes(600_000), tmp_path / 'b.pth')
            assert caught.value.errno == errno.ENOSPC
            assert [path.name for path in Path(tmp_path).iterdir()] == ['a.pth']
        finally:
            subprocess.run(['umount', str(tmp_path)], check=True)
