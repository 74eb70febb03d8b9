"""Networks of another model with another context module: steps, rows and refusals."""

import json

import pytest

from mmbmtas.comparison.results import read_rows
from mmbmtas.comparison.spec import read_comparison
from mmbmtas.structures import DenseCell

CELL = [{'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [1, 2]}]
CONTEXT = 'model.backbone.encoder.context'
MODELS = """
models['shared']['options'] = dict(max_iters=9)
models['mtan'] = dict(kind='exchange', config='configs/exchange/mtan_scenes.py')
models['dpc'] = dict(kind='cell', cell=CELL, reference='shared', options=dict(total_batch_size=3))
models['dpc_single'] = dict(kind='cell', cell=CELL, reference='single')
models['dpc_mtan'] = dict(kind='cell', cell=CELL, reference='mtan')
models['aspp'] = dict(kind='cell', context=dict(type='ContextModule', dilations=(1, 2)))
train_options = dict(max_iters=7)
"""


@pytest.fixture
def cell(tmp_path):
    """A cell's file."""
    path = tmp_path / 'cell.json'
    path.write_text(json.dumps(CELL))
    return path


@pytest.fixture
def text(spec, cell):
    """A comparison with cells for all kinds of references."""
    return spec + MODELS.replace('CELL', repr(str(cell)))


def runs_of(harness):
    return {run.name: run for run in harness.plan()}


def test_all_but_the_context_module_is_the_references(quick, compare, text, cell):
    harness, _ = compare(text, train=False)
    runs = runs_of(harness)
    stated = {f'{CONTEXT}.type': 'DensePredictionCell', f'{CONTEXT}.cell': str(cell)}
    stated[f'{CONTEXT}._delete_'] = True
    (network,) = runs['dpc_seed0'].networks
    assert network.options == {**stated, 'max_iters': 9, 'total_batch_size': 3}
    (network,) = runs['dpc_mtan_seed0'].networks
    assert (network.config, network.tree) == ('configs/exchange/mtan_scenes.py', None)
    assert network.options == {**stated, 'max_iters': 7}
    (network,) = runs['aspp_seed0'].networks
    assert network.options == {
        **{f'{CONTEXT}._delete_': True, f'{CONTEXT}.type': 'ContextModule'},
        **{f'{CONTEXT}.dilations': (1, 2), 'max_iters': 7},
    }
    assert [need.name for need in network.tree.step.needs] == ['searched_seed0/search']
    singles = runs['dpc_single_seed0'].networks
    assert [one.tree.name for one in singles] == [
        f'dpc_single_seed0_{task}' for task in harness.config.tasks
    ]
    words = list(map(str, singles[0].tree.step.command()))
    assert words[0].endswith('transfer.py')
    assert words[2].endswith('single_semseg/tree/tree.json')
    assert f'{CONTEXT}.cell={cell}' in words


def test_rows_and_what_is_kept(quick, compare, text, cell, tmp_path):
    for name in ('mtan', 'dpc_mtan'):  # the stand-in for test.py knows only trees
        text += f"models.pop('{name}')\n"
    harness, begun = compare(text)
    rows = {row.run: row for row in read_rows(harness.out / 'results.csv')}
    assert {rows[f'{name}_seed0'].status for name in ('dpc', 'dpc_single', 'aspp')} == {'done'}
    assert (
        begun.index('shared/tree') < begun.index('dpc_seed0/tree') < begun.index('dpc_seed0/train')
    )
    assert DenseCell.load(harness.out / 'cells' / 'dpc_seed0.json') == DenseCell.load(cell)
    assert not (harness.out / 'cells' / 'aspp_seed0.json').exists()
    assert (harness.out / 'trees' / 'dpc_single_seed0_edge.json').is_file()
    assert compare(text)[1] == []
    # Another cell under the same name is another setting of its rows alone.
    cell.write_text(json.dumps([{'input': -1, 'op': 'conv', 'kernel': 1}]))
    changed = r'other settings: dpc_seed0 \([^)]*needs\.cell[^;]*; dpc_single_seed0 \([^)]*\)\. '
    with pytest.raises(ValueError, match=changed):
        compare(text)
    assert {name.split('/')[0] for name in compare(text, rerun=True)[1]} == {
        *('dpc_seed0', 'dpc_single_seed0')
    }


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ("dict(kind='cell')", 'x: cell, the file of a dense prediction cell, is missing'),
        (
            "dict(kind='cell', context=dict(pooling='sliding'))",
            'x: cell, the file of a dense prediction cell, is missing',
        ),
        (
            "dict(kind='cell', cell=CELL, context=dict(cell='other.json'))",
            'x: context has a cell: state cell=FILE beside context',
        ),
        ("dict(kind='cell', cell=CELL, context=3)", 'x: context should be a dict, not 3'),
        (
            "dict(kind='cell', cell=CELL, reference='dpc')",
            "x: reference 'dpc', expected a model of kind 'single' or .*'exchange': there are",
        ),
        (
            "dict(kind='cell', cell=CELL, reference='permutations')",
            "x: reference 'permutations' has 2 trees per seed",
        ),
    ],
)
def test_entries_that_mean_nothing(text, cell, tmp_path, pytestconfig, monkeypatch, entry, message):
    monkeypatch.chdir(pytestconfig.rootpath)
    path = tmp_path / 'spec.py'
    text = text.replace('ROOT', repr(str(tmp_path)))
    path.write_text(text + f"models['x'] = {entry.replace('CELL', repr(str(cell)))}\n")
    with pytest.raises(ValueError, match=message):
        read_comparison(str(path))


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (
            "dict(kind='cell', cell=CELL, context=dict(pooling='cubic'))",
            "x: .*pooling 'cubic' of DensePredictionCell",
        ),
        (
            "dict(kind='cell', cell=CELL, reference='mtan', context=dict(pooling='cubic'))",
            "x: .*pooling 'cubic' of DensePredictionCell",
        ),
        (
            "dict(kind='cell', cell=CELL, reference='nddr')\n"
            "models['nddr'] = dict(kind='exchange', single='single', "
            "config='configs/exchange/nddr_scenes.py')",
            'x: its reference nddr starts from the networks of single',
        ),
        (
            "dict(kind='cell', cell='configs/architectures/scenes.json')",
            'x: configs/architectures/scenes.json',
        ),
    ],
)
def test_modules_that_do_not_fit(compare, text, cell, entry, message):
    entry = entry.replace('CELL', repr(str(cell)))
    with pytest.raises(ValueError, match=message):
        compare(text + f"models['x'] = {entry}\n")


def test_a_missing_file_is_named(compare, text):
    with pytest.raises(FileNotFoundError, match=r'x: cell lost\.json not found'):
        compare(text + "models['x'] = dict(kind='cell', cell='lost.json')\n")
