"""What is written beside its place appears there whole, or not at all."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mmbmtas.writing import (
    MARK,
    file_place,
    folder_written_beside,
    remove_leftovers,
    write_array,
    write_json,
    written_beside,
)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


@pytest.mark.parametrize('old', [True, False])
def test_a_file_appears_when_it_is_complete(tmp_path, old):
    path = tmp_path / 'deep' / 'a.json'
    if old:
        path.parent.mkdir()
        path.write_text('old')
    with written_beside(path) as beside:
        beside.write_text('new')
        assert beside.name == 'a.json'
        assert path.exists() == old
    assert path.read_text() == 'new'
    assert names(tmp_path) == ['deep', 'deep/a.json']


def test_it_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / 'plain').touch()
    with written_beside(tmp_path / 'a') as beside:
        beside.touch()
    assert os.stat(tmp_path / 'a').st_mode == os.stat(tmp_path / 'plain').st_mode


@pytest.mark.parametrize('depth', ['', 'deep'])
def test_a_file_never_replaces_a_folder(tmp_path, depth):
    """POSIX rename(2) refuses it too, with EISDIR."""
    place = tmp_path / depth / 'a'
    (place / 'inner').mkdir(parents=True)
    (place / 'inner' / 'old').touch()
    before = names(tmp_path)
    with pytest.raises(FileExistsError, match='is a folder, and a file never replaces a folder'):
        file_place(place)
    with pytest.raises(FileExistsError), written_beside(place):
        pytest.fail('refused before anything is written')
    assert names(tmp_path) == before


def test_a_folder_that_comes_meanwhile_stays(tmp_path):
    def write():
        with written_beside(tmp_path / 'a') as beside:
            beside.touch()
            (tmp_path / 'a').mkdir()

    with pytest.raises(IsADirectoryError):
        write()
    assert names(tmp_path) == ['a']


def test_places_that_hold_no_file_are_refused(tmp_path):
    (tmp_path / 'file').touch()
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(FileExistsError, match='neither a file nor a name that is free for one'):
        file_place(tmp_path / 'pipe')
    with pytest.raises(FileExistsError, match='file is a file, not a folder'):
        file_place(tmp_path / 'file' / 'deep' / 'a.json')
    for name in ('file', 'new', 'new/deep/a'):
        assert file_place(str(tmp_path / name)) == tmp_path / name


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_folder_that_may_not_be_written_to(tmp_path):
    (tmp_path / 'locked').mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        file_place(tmp_path / 'locked' / 'a')


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'target').write_text('old')
    (tmp_path / 'link').symlink_to('target')
    with written_beside(tmp_path / 'link') as beside:
        beside.write_text('new')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'target').read_text() == 'new'


class TestFolder:
    def write(self, place, *files):
        with folder_written_beside(place) as beside:
            for name in files:
                (beside / name).parent.mkdir(exist_ok=True)
                (beside / name).touch()

    def test_it_replaces_one_that_was_written_so(self, tmp_path):
        self.write(tmp_path / 'a', 'first', 'deep/first')
        self.write(tmp_path / 'a', 'second')
        assert names(tmp_path) == ['a', f'a/{MARK}', 'a/second']

    def test_it_replaces_an_empty_one(self, tmp_path):
        (tmp_path / 'a').mkdir()
        self.write(tmp_path / 'a', 'first')
        assert names(tmp_path) == ['a', f'a/{MARK}', 'a/first']

    @pytest.mark.parametrize('name', ['mine', 'deep/mine', 'mine/deep', '.mine'])
    @pytest.mark.parametrize('written', [True, False])
    def test_what_was_added_stays(self, tmp_path, name, written):
        if written:
            self.write(tmp_path / 'a', 'first', 'deep/first')
        (tmp_path / 'a' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'a' / name).touch()
        before = names(tmp_path)
        with pytest.raises(FileExistsError, match=f'a holds {name}, which'):
            self.write(tmp_path / 'a', 'second')
        assert names(tmp_path) == before

    def test_what_is_added_meanwhile_stays(self, tmp_path):
        def write():
            with folder_written_beside(tmp_path / 'a'):
                (tmp_path / 'a').mkdir()
                (tmp_path / 'a' / 'mine').touch()

        with pytest.raises(FileExistsError):
            write()
        assert names(tmp_path) == ['a', 'a/mine']

    def test_a_file_is_not_replaced(self, tmp_path):
        (tmp_path / 'a').touch()
        with pytest.raises(FileExistsError, match='is a file, and a folder never replaces a file'):
            self.write(tmp_path / 'a', 'first')

    @pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
    def test_what_fails_leaves_what_was_there(self, tmp_path, error):
        self.write(tmp_path / 'a', 'first')
        before = names(tmp_path)

        def fail():
            with folder_written_beside(tmp_path / 'a') as beside:
                (beside / 'second').touch()
                raise error

        with pytest.raises(error):
            fail()
        assert names(tmp_path) == before


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
def test_what_fails_leaves_the_old_file(tmp_path, error):
    (tmp_path / 'a').write_text('old')

    def fail():
        with written_beside(tmp_path / 'a') as beside:
            beside.touch()
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / 'a').read_text() == 'old'
    assert names(tmp_path) == ['a']


def test_what_was_never_written_leaves_the_old_file(tmp_path):
    (tmp_path / 'a').write_text('old')
    with pytest.raises(FileNotFoundError), written_beside(tmp_path / 'a'):
        pass
    assert (tmp_path / 'a').read_text() == 'old'


def test_a_full_disk_is_told_with_the_file(tmp_path):
    """Python's own error for a write has no name of the file."""
    with pytest.raises(OSError, match='No space left') as caught, written_beside(tmp_path / 'a'):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / 'a')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs the device that is always full')
def test_an_array_on_a_full_disk(tmp_path, monkeypatch):
    write = Path.write_bytes
    monkeypatch.setattr(Path, 'write_bytes', lambda path, data: write(Path('/dev/full'), data))
    with pytest.raises(OSError, match='No space left'):
        write_array(np.arange(10000.0), tmp_path / 'a.npy')
    assert names(tmp_path) == []


def test_an_array_is_read_back(tmp_path):
    write_array(np.arange(6.0).reshape(2, 3), tmp_path / 'deep' / 'a.npy')
    np.testing.assert_array_equal(np.load(tmp_path / 'deep/a.npy'), [[0, 1, 2], [3, 4, 5]])


def test_two_writers_do_not_meet(tmp_path):
    with written_beside(tmp_path / 'a') as first, written_beside(tmp_path / 'a') as second:
        first.write_text('1')
        second.write_text('2')
    assert (tmp_path / 'a').read_text() == '1'
    assert names(tmp_path) == ['a']


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    (tmp_path / 'kept').touch()
    writing = written_beside(tmp_path / 'a')
    writing.__enter__().touch()
    assert len(names(tmp_path)) == 3
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ['kept']


def test_a_number_that_json_lacks_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    write_json({'a': 1}, path)
    with pytest.raises(ValueError, match='JSON'):
        write_json({'a': float('nan')}, path)
    assert json.loads(path.read_text()) == {'a': 1}
