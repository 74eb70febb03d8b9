"""What is written beside its place appears there whole, or not at all."""

import os

import pytest

from mmbmtas.writing import remove_leftovers, written_beside


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


def test_a_folder_replaces_a_folder_or_a_file_as_a_whole(tmp_path):
    (tmp_path / 'a').touch()
    for name in ('first', 'second'):
        with written_beside(tmp_path / 'a') as beside:
            beside.mkdir()
            (beside / name).touch()
    assert names(tmp_path) == ['a', 'a/second']


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_what_fails_leaves_what_was_there(tmp_path, kind, error):
    if kind == 'folder':
        (tmp_path / 'a').mkdir()
        (tmp_path / 'a' / 'old').touch()
    else:
        (tmp_path / 'a').touch()
    before = names(tmp_path)

    def fail():
        with written_beside(tmp_path / 'a') as beside:
            beside.touch()
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == before


def test_what_was_never_written_leaves_the_old_folder(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'old').touch()
    with pytest.raises(FileNotFoundError), written_beside(tmp_path / 'a'):
        pass
    assert names(tmp_path) == ['a', 'a/old']


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
