"""The script that runs all that wants a GPU: its limits and records, and a dry run of all of it."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmbmtas.engine.runner.search_plan import SearchPlan

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _beside(monkeypatch):
    """Import what lies beside the script, as it does when it is run."""
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))


@pytest.fixture
def gpu_script(_beside):
    return importlib.import_module('gpu')


@pytest.fixture
def step(_beside):
    return importlib.import_module('benchmarking.gpu_steps').GpuStep


@pytest.fixture
def run(gpu_script, step, tmp_path):
    """Run a step that is a piece of Python."""

    def run_code(code, limit=30, states=(), left=100, **options):
        one = step('x', limit, ['-c', code], **options)
        return gpu_script.run_step(one, dict(states), left, tmp_path / 'log.txt')

    return run_code


def test_a_step_that_is_done(run, tmp_path):
    record = run('import sys; print(\'{"a": 1}\'); print("told", file=sys.stderr)')
    assert (record['status'], record['result']) == ('done', {'a': 1})
    assert 'told' in (tmp_path / 'log.txt').read_text()


def test_a_step_that_hangs_costs_its_limit_and_leaves_no_process(run, tmp_path):
    child = f'import time, pathlib; time.sleep(3); pathlib.Path({str(tmp_path / "late")!r}).touch()'
    code = f'import subprocess, sys, time; subprocess.Popen([sys.executable, "-c", {child!r}])\n'
    start = time.monotonic()
    record = run(code + 'print("began", flush=True); time.sleep(60)', limit=1.5)
    assert time.monotonic() - start < 10
    assert (record['status'], record['printed'].strip()) == ('out of time', 'began')
    time.sleep(3)
    assert not (tmp_path / 'late').exists()


def test_what_is_left_of_a_step_that_was_ended_counts(run, tmp_path):
    (tmp_path / 'rows.csv').write_text('one row\n')
    record = run(
        'import time; time.sleep(60)',
        limit=1,
        read=lambda _: (tmp_path / 'rows.csv').read_text(),
    )
    assert (record['status'], record['result']) == ('out of time', 'one row\n')


@pytest.mark.parametrize(
    ('code', 'options', 'status', 'told'),
    [
        ('raise SystemExit("error: broken")', {}, 'failed', 'error: broken'),
        ('print("no JSON")', {}, 'failed', 'JSONDecodeError'),
        ('', {'needs': ('w',), 'states': {'w': 'failed'}}, 'left out', 'it needs w'),
        ('', {'left': 3}, 'left out', '3 s were left'),
    ],
)
def test_a_step_without_result_says_why(run, code, options, status, told):
    record = run(code, **options)
    assert record['status'] == status
    assert told in record['printed']
    assert 'result' not in record


def test_the_record_is_there_after_every_step(gpu_script, step, tmp_path, monkeypatch):
    look = f'import pathlib; print(pathlib.Path({str(tmp_path / "out/gpu.json")!r}).read_text())'
    steps = [
        step('a first', 30, ['-c', 'print(1)']),
        step('b broken', 30, ['-c', 'raise SystemExit(3)']),
        step('d last', 30, ['-c', look]),
    ]
    monkeypatch.setattr(gpu_script, 'list_steps', lambda setting: steps)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '--cpu', '-o', str(tmp_path / 'out')])
    assert gpu_script.main() == 1
    found = json.loads((tmp_path / 'out' / 'gpu.json').read_text())
    assert [record['status'] for record in found['steps'].values()] == ['done', 'failed', 'done']
    assert [*found['steps']['d last']['result']['steps']] == ['a first', 'b broken']


def test_steps_are_chosen_with_what_they_need(gpu_script, step):
    steps = [step('w', 1, []), step('b one', 1, [], needs=('w',)), step('d', 1, [])]
    assert [one.name for one in gpu_script.choose(steps, ['b'])] == ['w', 'b one']
    with pytest.raises(ValueError, match=r"--steps z: expected some of \['w', 'b one', 'd'\]"):
        gpu_script.choose(steps, ['z'])


def test_graphs_are_of_gpus(tmp_path):
    steps = importlib.import_module('benchmarking.gpu_steps')
    for cpu in (False, True):
        found = steps.list_steps(steps.Setting(tmp_path, tiny=True, cpu=cpu))
        graphs = [one for one in found if '--graphs' in one.command]
        assert [one.name for one in graphs] == ([] if cpu else ['b search pascal graphs'])


def test_without_a_gpu_the_dry_run_is_named(gpu_script, tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr(sys, 'argv', ['gpu.py', '-o', str(tmp_path / 'out')])
    with pytest.raises(ValueError, match='no CUDA device here: --cpu --tiny is a dry run'):
        gpu_script.main()
    assert not (tmp_path / 'out').exists()


def test_hours_of_a_whole_search():
    whole = importlib.import_module('benchmarking.whole_search')
    # 10 of warm-up; 90 more of the weights in cycles of 40 are 3, of 8 of the architecture each.
    plan = SearchPlan(100, 10, weight_batches=40, arch_batches=8)
    seconds = {'warmup': 3.6, 'arch': 7.2, 'weights': 36.0}
    phases = {
        name: {'ours': {'seconds': s}, 'plain': {'seconds': 2 * s}} for name, s in seconds.items()
    }
    found = whole.whole_search(plan, phases)
    assert found['iterations'] == {'warmup': 10, 'arch': 24, 'weights': 90}
    assert found['hours'] == pytest.approx({'ours': 0.01 + 0.048 + 0.9, 'plain': 1.916})


def test_the_papers_search_has_its_iterations():
    launch = importlib.import_module('mmbmtas.launch')
    whole = importlib.import_module('benchmarking.whole_search')
    plan = whole.plan_of(launch.read_config(str(ROOT / 'configs/search_pascal.py')), 16)
    assert (plan.weight_iters, plan.warmup_iters) == (40000, 2000)
    # 4998 images: 1000 for the architecture, 62 batches, after each 249 of the weights.
    assert (plan.weight_batches, plan.arch_batches) == (3998 // 16, 1000 // 16)
    scenes = launch.read_config(str(ROOT / 'configs/search_scenes.py'))
    assert whole.plan_of(scenes, 4000) is None


@pytest.mark.slow
def test_a_dry_run(tmp_path):
    words = ['--cpu', '--tiny', '--seconds', '3000', '-o', str(tmp_path / 'out')]
    done = subprocess.run(
        [ROOT / 'benchmarks' / 'gpu.sh', *words],
        env={**os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1'},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    found = json.loads((tmp_path / 'out' / 'gpu.json').read_text())
    failed = {
        name: record.get('printed')
        for name, record in found['steps'].items()
        if record['status'] != 'done'
    }
    assert not failed
    assert done.returncode == 0, done.stderr
    tests = found['steps']['a tests']['result']
    assert 0 < tests['tests'] == tests['skipped']
    names = {'pascal', 'nyud', 'pascal amp', 'nyud amp', 'pascal channels last'}
    assert set(found['c whole search, hours']) == names
    assert found['steps']['e inference by the table']['result']['ours']['table_ms'] > 0
