"""A folder in the way of a tool's output file is told of before any work, and stays."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'branched_scenes.py'
TREE = 'tree.json'  # is not there: whoever looks for it has begun to work

TOOLS = {
    'test': ['test.py', CONFIG, 'a.pth', '--out'],
    'export': ['export_architecture.py', 'a.pth', '-o'],
    'uniform': ['grouping/uniform.py', CONFIG, '--kind', 'shared', '-o'],
    'vanilla': ['grouping/vanilla.py', CONFIG, '--budget', '1e8', '-o'],
    'random': ['grouping/random_tree.py', CONFIG, '--budget', '1e8', '-o'],
    'permute': ['grouping/permute.py', TREE, '-o'],
    'transfer': ['grouping/transfer.py', CONFIG, TREE, '-o'],
    'fafs': ['grouping/fafs.py', CONFIG, 'a.pth', '-o'],
    'bmn': ['grouping/bmn.py', CONFIG, '--rsa', 'a.npy', '--cap', '1e8', '-o'],
    'latency': ['analysis_tools/measure_latency.py', CONFIG, '-o'],
    'benchmark': ['../benchmarks/benchmark.py', 'infer', CONFIG, '--out'],
    'networks': ['analysis_tools/benchmark_networks.py', 'list.json', '-o'],
    'plot': ['analysis_tools/plot_architecture.py', TREE, '-o'],
    'check': ['dataset_converters/check_dataset.py', 'data', '--report'],
    'print': ['misc/print_config.py', CONFIG, '--save-path'],
}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a tool in an empty folder; give what it says as it ends."""
    monkeypatch.chdir(tmp_path)

    def call(name, *words):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
        monkeypatch.syspath_prepend(str((ROOT / 'tools' / name).parent))
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        assert caught.value.code not in (0, None)
        return f'{caught.value.code} {capsys.readouterr().err}'

    return call


def folder(path):
    (path / 'inner').mkdir(parents=True)
    (path / 'inner' / 'iter_40000.pth').write_bytes(b'precious')
    return path


@pytest.mark.parametrize('words', TOOLS.values(), ids=TOOLS)
def test_a_folder_stays(run, tmp_path, words):
    folder(tmp_path / 'results.json')
    assert 'results.json is a folder, and a file never replaces a folder' in run(
        *words, 'results.json'
    )
    assert (tmp_path / 'results.json' / 'inner' / 'iter_40000.pth').read_bytes() == b'precious'
    assert [path.name for path in tmp_path.iterdir()] == ['results.json']


@pytest.mark.parametrize(
    ('words', 'place'),
    [
        ([*TOOLS['random'][:-1], '--number', '3'], 'architecture_3.json'),
        ([*TOOLS['permute'], 'a.json'], 'a_5.json'),
        ([*TOOLS['fafs'][:-1], '--alpha', '1', '2'], 'architecture_2.json'),
        (TOOLS['bmn'][:-1], 'rsa.png'),
        (TOOLS['bmn'][:-1], 'architecture.json'),
        (TOOLS['latency'][:-1], 'latency.json'),
        (['dataset_converters/check_dataset.py', 'data', '--report', 'a.json'], 'a.txt'),
        (['dataset_converters/check_dataset.py', 'data'], 'data.check.json'),
    ],
)
def test_other_files_that_a_tool_will_write(run, tmp_path, words, place):
    folder(tmp_path / place)
    assert f'{place} is a folder, and a file never replaces a folder' in run(*words)
    assert (tmp_path / place / 'inner' / 'iter_40000.pth').read_bytes() == b'precious'


class TestDemo:
    @pytest.mark.parametrize('options', [[], ['--overwrite']])
    @pytest.mark.parametrize(
        'place', ['architecture.json', 'summary.md', 'predictions/mine.png', 'work/search/mine.txt']
    )
    def test_files_of_others_stay(self, run, tmp_path, place, options):
        (tmp_path / 'out' / place).parent.mkdir(parents=True)
        (tmp_path / 'out' / place).write_text('precious')
        told = run('demo.py', '--out', 'out', *options)
        assert Path(place).parts[0] in told
        assert (tmp_path / 'out' / place).read_text() == 'precious'
        assert not [*tmp_path.rglob('scenes')]
