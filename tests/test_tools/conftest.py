"""Fixtures of the command lines' tests."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Run a tool in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(name, *words):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
        runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')

    return run
