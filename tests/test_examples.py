"""The notebooks in examples/ run from the first cell to the last."""

import ast
import json
import shlex
from pathlib import Path

import matplotlib
import pytest
from mmengine.registry import Registry

from mmbmtas import command_line, registry

EXAMPLES = Path(__file__).parents[1] / 'examples'
NAMES = sorted(path.stem for path in EXAMPLES.glob('*.ipynb'))
MAGIC = '%%writefile '


@pytest.fixture
def _own_registrations():
    """Take out of the registries what a notebook has put in."""
    registries = [value for value in vars(registry).values() if isinstance(value, Registry)]
    before = [dict(one.module_dict) for one in registries]
    yield
    for one, names in zip(registries, before, strict=True):
        one.module_dict.clear()
        one.module_dict.update(names)


def code_cells(name):
    content = json.loads((EXAMPLES / f'{name}.ipynb').read_text(encoding='utf-8'))
    return [''.join(c['source']) for c in content['cells'] if c['cell_type'] == 'code']


def run_cell(text, names):
    """Run a cell as Jupyter does: Python, a file to write, or a command line of ours."""
    if text.startswith(MAGIC):
        place, _, content = text.removeprefix(MAGIC).partition('\n')
        Path(place).write_text(content)
    elif text.startswith('!mmbmtas '):
        words = shlex.split(text.replace('\\\n', ' ').format(**names))
        status = None
        try:
            command_line.main(words[1:])
        except SystemExit as end:
            status = end.code
        assert not status, text
    else:
        exec(compile(text, 'cell', 'exec'), names)


def test_there_is_a_notebook_for_each_topic():
    assert NAMES == ['deployment', 'own_data', 'own_encoder', 'search_on_scenes', 'tree_in_mmseg']


@pytest.mark.parametrize('name', NAMES)
def test_notebooks_are_stored_without_outputs(name):
    content = json.loads((EXAMPLES / f'{name}.ipynb').read_text(encoding='utf-8'))
    assert (content['nbformat'], content['nbformat_minor']) == (4, 5)
    for cell in content['cells']:
        assert cell['cell_type'] in ('code', 'markdown')
        if cell['cell_type'] == 'code':
            assert (cell['outputs'], cell['execution_count']) == ([], None)
            text = ''.join(cell['source'])
            if not text.startswith(('!', '%%')):
                ast.parse(text)


SLOW = ('own_data', 'search_on_scenes')


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES]
)
@pytest.mark.usefixtures('_own_registrations')
def test_notebook_runs(name, tmp_path, monkeypatch):
    if name == 'deployment':
        pytest.importorskip('onnxruntime')
    matplotlib.use('agg')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {'__name__': 'notebook'}
    for text in code_cells(name):
        run_cell(text, names)
