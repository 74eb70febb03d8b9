"""The demo's steps: what they need, and what happens to an earlier demo's."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(ROOT / 'tools/demo.py'))


@pytest.fixture
def demo(tool, tmp_path):
    return lambda seed=0: tool['Demo'](tmp_path / 'out', {'seed': seed, **tool['SHORT']})


def test_the_two_trees_are_trained_and_tested_alike(demo):
    steps = {step.name: step for step in demo().steps}
    places = [*steps]
    for step in steps.values():
        assert all(places.index(other.name) < places.index(step.name) for other in step.needs)
    for tree in ('searched', 'random'):
        steps[f'{tree}_tree/train'].output.parent.mkdir(parents=True)
        steps[f'{tree}_tree/train'].output.write_text(f'{tree}.pth')
    for name, drawn in (('train', 0), ('test', 3), ('cost', 0)):
        lines = []
        for tree, file in (('searched', 'search/architecture'), ('random', 'random/tree')):
            line = ' '.join(steps[f'{tree}_tree/{name}'].command())
            assert f'{file}.json' in line
            line = line.replace(f'{file}.json', 'FILE').replace(f'{tree}_tree', 'TREE')
            lines.append(line.replace(f'{tree}.pth', 'CHECKPOINT').split())
        assert lines[0][: len(lines[1])] == lines[1]  # the sheets of one tree are drawn
        assert len(lines[0]) - len(lines[1]) == drawn


def test_other_settings_need_overwrite_which_leaves_what_is_not_ours(demo, tmp_path):
    before = demo(seed=0)
    before.folders.write(before.search, seconds=1, done=True)
    mine = tmp_path / 'out' / 'work' / 'mine'
    mine.mkdir()
    demo(seed=0).check_settings(overwrite=False)
    with pytest.raises(ValueError, match=r'seed: 0, now 1.*--overwrite'):
        demo(seed=1).check_settings(overwrite=False)
    assert before.folders.is_begun(before.search)
    demo(seed=1).check_settings(overwrite=True)
    assert [*mine.parent.iterdir()] == [mine]
