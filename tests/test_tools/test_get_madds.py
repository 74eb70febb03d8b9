"""The exact costs of method.md, section 4, through the configs that users have."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'analysis_tools' / 'get_madds.py'
MOBILENET_LAYERS = [
    *(52428800, 152567808, 134479872, 80805888, 57409536, 57409536, 39518208, 53870592),
    *(53870592, 53870592, 66453504, 118554624, 118554624, 156303360, 323420160, 323420160),
    *(480706560, 75538432),
]
# single, shared, all apart: multiply-adds, then in the paper's convention
TOTALS = {
    'pascal': (
        (15_854_411_776, 6_031_187_968, 15_627_919_360),
        (15_729_565_376, 5_986_295_744, 15_507_267_264),
    ),
    'pascal_r50': (
        (345_814_597_632, 154_636_124_160, 343_348_346_880),
        (345_651_412_352, 154_585_137_024, 343_174_675_840),
    ),
    'nyud_r50': (
        (254_480_325_632, 122_285_116_928, 252_797_046_272),
        (254_360_382_080, 122_242_547_840, 252_669_885_440),
    ),
}


@pytest.fixture
def measure(monkeypatch, capsys):
    """Run the tool in this process; its output."""

    def run(*words):
        monkeypatch.setenv('LOCAL_RANK', '0')
        monkeypatch.setattr(sys, 'argv', ['get_madds.py', *map(str, words)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize('name', TOTALS)
def test_totals_of_retraining_configs(name, measure):
    result = json.loads(measure(ROOT / 'configs' / f'branched_{name}.py', '--json'))
    networks = ('single', 'shared', 'all_apart')
    assert tuple(result[network]['madds'] for network in networks) == TOTALS[name][0]
    assert tuple(result[network]['madds_paper'] for network in networks) == TOTALS[name][1]
    assert result['shared']['madds'] < result['network']['madds'] < result['all_apart']['madds']
    assert result['shape'] == ([425, 560] if 'nyud' in name else [512, 512])
    if name == 'pascal':
        assert result['layers'] == MOBILENET_LAYERS
    for network in (*networks, 'network'):
        assert [type(result[network][key]) for key in ('madds', 'params')] == [int, int]


# Multiply-adds in the paper's convention, in 10^6: the six figures of its tables (15.7, 21.8, 9.5;
# 254.4, 366.2, 600.1 billion), and one that it leaves out.
EXCHANGES = {
    'cross_stitch_pascal': 15_730,
    'nddr_pascal': 21_774,
    'mtan_pascal': 9_526,
    'cross_stitch_nyud_r50': 254_360,
    'nddr_nyud_r50': 366_157,
    'mtan_nyud_r50': 600_079,
    'nddr_pascal_r50': 535_208,
}


@pytest.mark.parametrize('name', EXCHANGES)
def test_encoders_that_exchange_features(name, measure):
    result = json.loads(measure(ROOT / 'configs' / 'exchange' / f'{name}.py', '--json'))
    assert round(result['network']['madds_paper'] / 1e6) == EXCHANGES[name]
    pair = name.removeprefix('cross_stitch_').removeprefix('nddr_').removeprefix('mtan_')
    networks = ('single', 'shared', 'all_apart')
    found = tuple(tuple(result[n][key] for n in networks) for key in ('madds', 'madds_paper'))
    assert found == TOTALS[pair]
    if 'cross_stitch' in name:
        assert result['network']['madds'] == result['single']['madds']


def test_search_config_on_the_command_line(tmp_path):
    command = [sys.executable, TOOL, ROOT / 'configs' / 'search_pascal.py', '--json']
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ}, timeout=300
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # one object and nothing else
    assert [*result] == ['shape', 'tasks', 'layers', 'network', 'shared', 'all_apart', 'single']
    assert result['network'] is None
    assert result['layers'] == MOBILENET_LAYERS
    assert result['tasks'] == ['semseg', 'human_parts', 'saliency', 'normals', 'edge']
    found = [result[network]['madds'] for network in ('single', 'shared', 'all_apart')]
    assert tuple(found) == TOTALS['pascal'][0]
    assert [*tmp_path.iterdir()] == []


def test_another_shape(measure):
    config = ROOT / 'configs' / 'branched_scenes.py'
    small, large = (
        json.loads(measure(config, '--json', '--shape', size, 2 * size)) for size in (64, 128)
    )
    assert small['shape'] == [64, 128]
    assert all(4 * a == b for a, b in zip(small['layers'][:-1], large['layers'][:-1], strict=True))
    assert small['network']['params'] == large['network']['params']


def test_table(measure):
    table = measure(ROOT / 'configs' / 'branched_pascal.py')
    assert 'Input 512 x 512' in table
    row = next(line for line in table.splitlines() if line.startswith('shared'))
    assert row.split()[1:3] == ['6.031', '5.986']


def test_the_space_of_paths(measure, tmp_path):
    """Largest and smallest path of MPNAS's space at 64 x 64: computed by independent references."""
    words = ['configs/mpnas/search_decathlon.py', '--shape', '64', '64', '--json']
    result = json.loads(measure(*words, '-o', tmp_path / 'costs.json'))
    assert json.loads((tmp_path / 'costs.json').read_text()) == result
    assert len(result['domains']) == 10
    for domain in result['domains']:
        smallest, largest = result['smallest'][domain], result['largest'][domain]
        assert largest['madds'] - smallest['madds'] == 47_262_336 - 1_313_088


def test_networks_of_paths(measure):
    result = json.loads(measure('configs/mpnas/paths_pocket.py', '--json'))
    own = result['per_domain'].values()
    for unit in ('madds', 'params'):
        assert result['sum'][unit] == sum(found[unit] for found in own)
        assert result['union'][unit] <= result['prefix'][unit] <= result['sum'][unit]
    table = runpy.run_path(str(TOOL))['format_domains'](result)
    assert f'{result["union"]["params"] / 1e6:.3f}' in table.splitlines()[-1]
