"""Archives: what is harmful stays out; what is sound becomes a checked dataset with a cache."""

import gzip
import io
import runpy
import sys
import tarfile
from pathlib import Path

import pytest

from mmbmtas.datasets import NYUDv2MT, PascalContextMT, preparing
from mmbmtas.datasets.cache import default_cache
from mmbmtas.datasets.preparing import prepare_dataset
from mmbmtas.datasets.unpacking import safe_path, unpack

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/prepare_dataset.py'


def archive(path, *members):
    """Write members, each ``(name, content or None, settings of its header)``."""
    with tarfile.open(path, 'w:gz') as tar:
        for name, content, settings in members:
            member = tarfile.TarInfo(name)
            member.size = len(content or b'')
            for key, value in settings.items():
                setattr(member, key, value)
            tar.addfile(member, io.BytesIO(content) if content else None)
    return path


def pack(root, path, name):
    with tarfile.open(path, 'w:gz') as tar:
        tar.add(root, name)
    return path


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ('name', 'settings', 'message'),
    [
        ('../evil', {}, 'leads out of the folder'),
        ('a/../../evil', {}, 'leads out of the folder'),
        ('/evil', {}, 'leads out of the folder'),
        ('C:/evil', {}, 'leads out of the folder'),
        ('..\\evil', {}, 'leads out of the folder'),
        ('../evil', {'type': tarfile.DIRTYPE}, 'leads out of the folder'),
        ('link', {'type': SYM, 'linkname': '../secret'}, 'links out of the folder'),
        ('a/link', {'type': SYM, 'linkname': '../../secret'}, 'links out of the folder'),
        ('link', {'type': SYM, 'linkname': '/etc/passwd'}, 'links out of the folder'),
        ('link', {'type': HARD, 'linkname': '../secret'}, 'links out of the folder'),
        ('link', {'type': HARD, 'linkname': 'absent'}, 'links to something that is not a file'),
        ('link', {'type': SYM, 'linkname': '.'}, 'links to something that is not a file'),
        ('device', {'type': tarfile.CHRTYPE}, 'device or pipe'),
        ('device', {'type': tarfile.BLKTYPE}, 'device or pipe'),
        ('pipe', {'type': tarfile.FIFOTYPE}, 'device or pipe'),
    ],
)
def test_harmful_members(tmp_path, name, settings, message):
    (tmp_path / 'secret').write_text('secret')
    content = None if 'type' in settings else b'evil'
    path = archive(
        tmp_path / 'x.tgz', ('good', b'1', {}), (name, content, settings), ('later', b'2', {})
    )
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=message) as error:
        unpack(path, tmp_path / 'out')
    assert str(path) in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


def test_writing_through_a_link(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    link = {'type': SYM, 'linkname': '../elsewhere'}
    path = archive(tmp_path / 'x.tgz', ('d', None, link), ('d/evil', b'evil', {}))
    with pytest.raises(ValueError, match='links out'):
        unpack(path, tmp_path / 'out')
    assert not list((tmp_path / 'elsewhere').iterdir())


def test_links_inside_become_copies(tmp_path):
    path = archive(
        tmp_path / 'x.tgz',
        ('b/early', None, {'type': SYM, 'linkname': '../a/file'}),
        ('a/file', b'content', {'mode': 0o4777, 'mtime': 10**9}),
        ('hard', None, {'type': HARD, 'linkname': 'a/file'}),
    )
    out = tmp_path / 'out'
    unpack(path, out)
    for name in ('b/early', 'a/file', 'hard'):
        assert (out / name).read_bytes() == b'content'
        assert not (out / name).is_symlink()
        assert (out / name).stat().st_nlink == 1
    assert (out / 'a/file').stat().st_mode & 0o7111 == 0
    assert (out / 'a/file').stat().st_mtime == 10**9


def test_limit_of_size(tmp_path):
    path = archive(tmp_path / 'x.tgz', ('zeros', bytes(1 << 20), {}))
    assert path.stat().st_size < 5000
    with pytest.raises(ValueError, match=r'unpacks to more than .* allow more with --max-gib'):
        unpack(path, tmp_path / 'out', limit=(1 << 20) - 1)
    assert not (tmp_path / 'out').exists()
    unpack(path, tmp_path / 'out', limit=1 << 20)
    hard = {'type': HARD, 'linkname': 'zeros'}
    path = archive(tmp_path / 'y.tgz', ('zeros', bytes(1 << 20), {}), ('again', None, hard))
    with pytest.raises(ValueError, match='unpacks to more than'):
        unpack(path, tmp_path / 'copies', limit=1 << 20)


def test_damaged_archives(tmp_path):
    whole = archive(tmp_path / 'x.tgz', *((f'f{i}', bytes(range(256)) * 9, {}) for i in range(40)))
    content = whole.read_bytes()
    plain = gzip.decompress(content)
    broken = [
        b'',
        b'no archive at all' * 99,
        content[: len(content) // 2],
        content[:-9],
        content[:60] + b'xxxx' + content[64:],
        plain[: len(plain) // 2],
    ]
    for number, damaged in enumerate(broken):
        path = tmp_path / f'{number}.tgz'
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='expected a whole tar archive') as error:
            unpack(path, tmp_path / 'out')
        assert str(path) in str(error.value)
        assert not (tmp_path / 'out').exists()


def test_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/mine').write_text('x')
    with pytest.raises(FileExistsError):
        unpack(archive(tmp_path / 'x.tgz', ('a', b'1', {})), tmp_path / 'out')
    assert (tmp_path / 'out/mine').exists()


def test_safe_paths():
    assert safe_path('./PASCAL_MT/a..b/.c').as_posix() == 'PASCAL_MT/a..b/.c'


@pytest.mark.parametrize('name', ['PASCAL_MT', '.', './data/renamed'])
def test_archive_of_pascal(pascal_root, tmp_path, name):
    path = pack(pascal_root, tmp_path / 'PASCAL_MT.tgz', name)
    out = tmp_path / 'out'
    prepared = prepare_dataset(path, out)
    assert prepared.root == out / 'PASCAL_MT'
    assert prepared.counts == {'written': 9}
    assert {p.name for p in out.iterdir()} == {
        'PASCAL_MT',
        'PASCAL_MT.cache',
        'PASCAL_MT.check.json',
        'PASCAL_MT.check.txt',
    }
    assert len(PascalContextMT(str(out / 'PASCAL_MT'))) == 3


def test_second_run_keeps_everything(nyud_root, tmp_path, monkeypatch):
    path = pack(nyud_root, tmp_path / 'NYUD_MT.tgz', 'NYUD_MT')
    (tmp_path / 'out/.NYUD_MT.tgz.partial/left').mkdir(parents=True)  # by a run that was killed
    assert prepare_dataset(path, tmp_path / 'out').counts == {'written': 8}
    monkeypatch.setattr(preparing, 'unpack', pytest.fail)
    assert prepare_dataset(path, tmp_path / 'out').counts == {'kept': 8}
    assert not (tmp_path / 'out/.NYUD_MT.tgz.partial').exists()


def test_folder_is_cached_elsewhere(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path / 'mine', 'C')
    prepared = prepare_dataset(root, tmp_path / 'out', jobs=2)
    assert prepared.cache == tmp_path / 'out/mine.cache'
    assert sorted(p.name for p in root.iterdir()) == sorted(
        ['gt_sets', 'images', 'segmentation', 'edge', 'normals', 'depth']
    )
    pipeline = [{'type': 'LoadSampleImage'}, {'type': 'LoadNYUDv2Labels'}]
    dataset = NYUDv2MT(str(root), pipeline=pipeline, cache=str(prepared.cache))
    assert dataset[0]['gt_depth'].shape == layouts.NYUD_SIZE


def test_problems_keep_the_cache_from_being_written(layouts, tmp_path):
    root = layouts.write_nyud(tmp_path / 'NYUD_MT', 'B')
    (root / 'depth/0001.npy').unlink()
    prepared = prepare_dataset(root, tmp_path)
    assert prepared.counts is None
    assert not default_cache(root).exists()
    assert '1 problem (1 missing)' in prepared.report_file.read_text()
    assert prepare_dataset(root, tmp_path, allow_missing_labels=True).counts == {'written': 8}
    (root / 'depth/0002.npy').write_bytes(b'')
    assert prepare_dataset(root, tmp_path, allow_missing_labels=True).counts is None


def test_what_is_no_dataset(tmp_path):
    path = archive(tmp_path / 'x.tgz', ('holiday.jpg', b'1', {}))
    with pytest.raises(ValueError, match='holds no NYUD_MT folder'):
        prepare_dataset(path, tmp_path / 'out')
    assert not list((tmp_path / 'out').iterdir())
    with pytest.raises(FileNotFoundError, match='no archive or folder'):
        prepare_dataset(tmp_path / 'absent.tgz', tmp_path / 'out')


@pytest.mark.parametrize('sound', [True, False])
def test_command_line(layouts, tmp_path, monkeypatch, capsys, sound):
    root = layouts.write_nyud(tmp_path / 'NYUD_MT', 'B')
    if not sound:
        (root / 'depth/0001.npy').unlink()
    monkeypatch.setattr('signal.signal', lambda *_: None)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(root), str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == (0 if sound else 1)
    said = capsys.readouterr().out
    assert ('use it automatically' if sound else 'no cache was written') in said


def test_command_line_names_a_harmful_archive(tmp_path, monkeypatch, capsys):
    path = archive(tmp_path / 'NYUD_MT.tgz', ('../evil', b'1', {}))
    monkeypatch.setattr('signal.signal', lambda *_: None)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(path), str(tmp_path / 'out')])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOL), run_name='__main__')
    assert end.value.code == 1
    assert f'\nerror: {path}: ' in capsys.readouterr().err
