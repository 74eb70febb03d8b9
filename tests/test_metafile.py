"""``configs/metafile.yaml``, from which OpenMMLab's indices know our configs."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOT_TRAINED = ('_base_', 'compare')
"""Folders of parts, and of files that name configs."""
OF_OURS = ('scenes', 'planted', 'nyud_half', 'pocket')
"""Data that are rendered, planted or cut to size here: no index has results on these."""


@pytest.fixture(scope='module')
def metafile():
    return yaml.safe_load((ROOT / 'configs' / 'metafile.yaml').read_text())


def test_it_has_all_configs_for_published_data(metafile):
    listed = {model['Config'] for model in metafile['Models']}
    there = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'configs').rglob('*.py')
        if path.relative_to(ROOT / 'configs').parts[0] not in NOT_TRAINED
    }
    assert listed <= there
    ours = {name for name in there if any(word in name for word in OF_OURS)}
    assert there - ours - listed == {'configs/plain_encoder_decoder.py'}  # trains on scenes


def test_names_are_those_of_the_files_and_differ(metafile):
    names = Counter(model['Name'] for model in metafile['Models'])
    assert all(model['Name'] == Path(model['Config']).stem for model in metafile['Models'])
    assert names.most_common(1)[0][1] == 1


def test_collections_are_described(metafile):
    described = {entry['Name']: entry for entry in metafile['Collections']}
    assert {model['In Collection'] for model in metafile['Models']} == {*described}
    assert all((ROOT / entry['README']).is_file() for entry in described.values())
