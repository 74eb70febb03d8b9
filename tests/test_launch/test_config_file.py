"""Config files that cannot be read: one clear error with the file and the line."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.launch.config_file import read_config_file
from mmbmtas.structures import BranchedArchitecture, DenseCell

CELL = Path(__file__).parents[2] / 'configs/cells/dpc_cityscapes.json'


@pytest.mark.parametrize(
    ('name', 'text', 'told'),
    [
        ('c.py', '', 'c.py is empty'),
        ('c.py', '# nothing\n', 'c.py is empty'),
        ('c.py', 'x = 1\ny = = 1\n', 'c.py, line 2: invalid syntax: y = = 1'),
        ('c.py', 'x = 1\ny = nowhere\n', r"c.py, line 2: NameError: name 'nowhere' is not defined"),
        ('c.py', "_base_ = 'c.py'\n", 'c.py cannot be read: its _base_ includes the file itself'),
        ('c.py', "_base_ = 'lost.py'\n", 'c.py: FileNotFoundError: .*lost.py'),
        ('c.py', '\xff', 'c.py.*'),
        ('c.py', 'with read_base():\n    from .lost import *\n', r'c.py.*lost.py'),
        ('c.json', '{"a": ', 'c.json: JSONDecodeError: Expecting value'),
        ('c.yaml', 'a: [1\n', 'c.yaml: ParserError'),
        ('c.txt', 'a = 1', 'c.txt: OSError: Only py/yml/yaml/json'),
        (
            'c.py',
            "custom_imports = dict(imports=['nowhere'], allow_failed_imports=False)",
            'c.py: ImportError: Failed to import custom modules',
        ),
    ],
)
def test_what_is_wrong_is_named(name, text, told, tmp_path):
    (tmp_path / name).write_text(text, encoding='latin-1')
    with pytest.raises(InputError, match=told):
        read_config_file(tmp_path / name)


def test_results_in_the_place_of_a_config(tmp_path):
    tree = BranchedArchitecture.shared(['semseg'], {'type': 'MobileNetV2Encoder'}, 2)
    tree.save(tmp_path / 'architecture.json')
    told = r'architecture\.json is an architecture, not a config: .*--cfg-options architecture=/'
    with pytest.raises(InputError, match=told):
        read_config_file(tmp_path / 'architecture.json')
    DenseCell.load(CELL).save(tmp_path / 'mine.json')
    with pytest.raises(InputError, match=r'mine\.json is a cell, not a config: .*context\.cell=/'):
        read_config_file(tmp_path / 'mine.json')
    for name, legacy in (('new.pth', True), ('old.pth', False)):
        place = tmp_path / name
        torch.save({'state_dict': {}}, place, _use_new_zipfile_serialization=legacy)
        with pytest.raises(InputError, match=f'{name} is a checkpoint, not a config'):
            read_config_file(place)
    (tmp_path / 'c.json').write_text('{"x": 1}')
    assert read_config_file(tmp_path / 'c.json').x == 1


def test_files_that_lead_to_one_another(tmp_path):
    (tmp_path / 'a.py').write_text("_base_ = 'b.py'\n")
    (tmp_path / 'b.py').write_text("_base_ = 'a.py'\n")
    with pytest.raises(
        InputError, match=r'a\.py cannot be read: its _base_ includes the file itself'
    ):
        read_config_file(tmp_path / 'a.py')


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(MissingFileError, match='is not a config file'):
        read_config_file(tmp_path)


def test_sound_files_are_read_as_mmengine_reads_them(pytestconfig):
    path = pytestconfig.rootpath / 'configs' / 'search_scenes.py'
    assert read_config_file(path).to_dict() == Config.fromfile(path).to_dict()


def test_replacing_what_is_not_there_leaves_no_mark(tmp_path):
    (tmp_path / 'a.py').write_text('model = dict(head=dict(x=1))\n')
    model = 'model = dict(head=dict(_delete_=True, y=2), neck=dict(_delete_=True, z=3))'
    (tmp_path / 'b.py').write_text(f"_base_ = 'a.py'\n{model}\n")
    cfg = read_config_file(tmp_path / 'b.py')
    assert cfg.model == {'head': {'y': 2}, 'neck': {'z': 3}}
