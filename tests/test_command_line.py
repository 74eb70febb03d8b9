"""The command ``mmbmtas``: its list, its help, and configs of ours from anywhere."""

import sys

import pytest
from mmengine.config import Config

from mmbmtas.command_line import COMMANDS, TOOLS, main, typed
from mmbmtas.version import __version__


def test_every_command_is_a_tool_and_is_listed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(['--help'])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    for command, tool in COMMANDS.items():
        assert (TOOLS / tool).is_file()
        assert f'\n  {command} ' in listed
    assert 'Run the training or the search that a config describes' in listed


def test_no_command_and_unknown_ones_end_with_a_status(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        main(['trian'])
    assert ended.value.code == 2
    assert "no command 'trian'" in capsys.readouterr().err


def test_the_version(capsys):
    main(['--version'])
    assert capsys.readouterr().out == f'mmbmtas {__version__}\n'


def test_a_tool_speaks_of_itself_as_the_command(capsys):
    before = [*sys.argv], [*sys.path]
    with pytest.raises(SystemExit) as ended:
        main(['search', '--help'])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith('usage: mmbmtas search')
    assert ([*sys.argv], [*sys.path]) == before


def test_commands_are_written_as_they_were_typed(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/compare.py', 'a b'])
    assert typed(['a b', '-o', 'out']) == "python tools/compare.py 'a b' -o out"
    monkeypatch.setattr(sys, 'argv', ['mmbmtas compare', 'a b'])
    assert typed(['a b', '-o', 'out']) == "mmbmtas compare 'a b' -o out"


def test_configs_of_ours_are_bases_from_any_folder(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmbmtas::bmtas/search_scenes.py'\nweight_iters = 7\n")
    cfg = Config.fromfile(path)
    assert cfg.model.type == 'SearchEncoderDecoder'
    assert cfg.weight_iters == 7
