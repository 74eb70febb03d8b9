"""A search small enough for tests: pretrained backbone, two tasks, 64 x 80 pixels."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

# The search of cells is an extra.
collect_ignore_glob = [] if importlib.util.find_spec('optuna') else ['test_*.py']

ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = {base!r}
data_root = {root!r}
tasks = ['saliency', 'edge']
model = dict(decode_heads=dict(saliency=dict(channels=8), edge=dict(channels=8)))
cell_search = dict(
    trials=6,
    references=dict(_delete_=True),
    space=dict(branches=3, rates=(1, 2, 3), grids=(1, 2)),
    sampler=dict(type='NearBest', warm=2, pool=2, generation=2),
    iterations=6,
    batch_size=2,
    crop=(64, 64),
    search_fraction=0.25,
    full=dict(max_iters=2, total_batch_size=2),
)
"""


@pytest.fixture(scope='session')
def config_path(scenes_roots, tmp_path_factory):
    path = tmp_path_factory.mktemp('cells') / 'search.py'
    base = str(ROOT / 'configs/dpc/search_cell_scenes.py')
    path.write_text(CONFIG.format(base=base, root=str(scenes_roots['pascal'])))
    return path


@pytest.fixture(scope='session')
def features_folder(config_path, tmp_path_factory):
    """A folder with features, computed once; to be copied."""
    return tmp_path_factory.mktemp('features')


@pytest.fixture
def make_search(config_path, tmp_path, features_folder, monkeypatch):
    """Prepare a search in a folder of the test's own."""
    from mmbmtas.cells.search import CellSearch, Resources, read_search_config

    def make(name='out', trials=6, seed=0, **options):
        cfg = read_search_config(
            str(config_path), {f'cell_search.{k}': v for k, v in options.items()}
        )
        folder, kept = tmp_path / name, features_folder / 'features'
        if kept.exists() and not (folder / 'features').exists():
            shutil.copytree(kept, folder / 'features')
        search = CellSearch(cfg, folder, trials, seed, Resources(), ROOT / 'tools').prepare()
        if not kept.exists():
            shutil.copytree(folder / 'features', kept)
        search.process = 'test'
        return search

    return make


@pytest.fixture(scope='session')
def trials_of():
    """Read the trials on record, without the seconds."""

    def read(folder):
        found = [json.loads(line) for line in (folder / 'trials.jsonl').read_text().splitlines()]
        return [{k: v for k, v in trial.items() if k != 'seconds'} for trial in found]

    return read
