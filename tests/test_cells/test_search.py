"""A whole search: its record, interruptions, failures, samplers, budgets, and its report."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from mmbmtas.cells.report import write_report
from mmbmtas.cells.search import coincidence
from mmbmtas.cells.settings import CellSearchSettings
from mmbmtas.cells.trial import Trial
from mmbmtas.errors import InputError
from mmbmtas.structures import DenseCell

ROOT = Path(__file__).parents[2]


def test_a_search_tries_references_and_then_new_cells(trials_of, make_search):
    search = make_search()
    search.work()
    found = trials_of(search.folder)
    assert [trial['trial'] for trial in found] == [*range(6)]
    assert [trial['generation'] for trial in found] == [0, 1, 2, 2, 3, 3]
    assert [trial['name'] for trial in found[:3]] == ['ASPP', 'published cell', None]
    assert all(trial['status'] == 'done' for trial in found)
    assert found[0]['score'] == 0
    keys = [trial['key'] for trial in found[1:]]
    assert len({*keys}) == 5
    best = max(found[2:], key=lambda trial: trial['score'])
    cell = DenseCell.load(search.folder / 'cell.json')
    assert cell.branches == best['cell']
    assert cell.source['trial'] == best['trial']


def test_an_interrupted_search_ends_like_a_whole_one(trials_of, make_search, monkeypatch):
    whole = make_search('whole')
    whole.work()
    run, calls = Trial.run, []

    def interrupted(self, context):
        calls.append(context)
        if len(calls) in (2, 4, 5):
            raise KeyboardInterrupt
        return run(self, context)

    monkeypatch.setattr(Trial, 'run', interrupted)
    for _ in range(3):
        parts = make_search('parts')
        parts.desk.release()
        with pytest.raises(KeyboardInterrupt):
            parts.work()
    parts = make_search('parts')
    parts.desk.release()
    parts.work()
    assert trials_of(parts.folder) == trials_of(whole.folder)


def test_a_process_that_dies_twice_with_a_trial_fails_it_and_the_rest_goes_on(make_search):
    search = make_search()
    for _ in range(2):  # as killed processes leave it
        assert search.desk.claim(search.study.ask(), 'lost') == 0
        search.desk.release('lost')
    assert search.desk.deaths() == {0: 2}
    assert search.desk.records(0)[0].error.startswith('its process died 2 times')


def test_processes_that_were_stopped_from_outside_do_not_count(make_search):
    search = make_search()
    for _ in range(3):  # as a kill of the whole search leaves it
        assert search.desk.claim(search.study.ask(), 'stopped') == 0
        search.desk.release()
    assert search.desk.deaths() == {0: 0}
    assert search.desk.records(0) == []


def test_a_trial_that_fails_is_on_record_and_the_rest_goes_on(trials_of, make_search, monkeypatch):
    run = Trial.run

    def failing(self, context):
        if 'cell' in context and len(context['cell']) == 3 and not failed:
            failed.append(context)
            raise MemoryError('no memory')
        return run(self, context)

    failed = []
    monkeypatch.setattr(Trial, 'run', failing)
    search = make_search()
    search.work()
    found = trials_of(search.folder)
    assert [trial['status'] for trial in found] == ['done', 'done', 'failed', *['done'] * 3]
    assert found[2]['error'] == 'MemoryError: no memory'
    assert found[2]['cell'] == failed[0]['cell']


def test_a_search_without_its_reference_ends_with_the_error(make_search, monkeypatch):
    def failing(self, context):
        raise InputError('no label')

    monkeypatch.setattr(Trial, 'run', failing)
    with pytest.raises(InputError, match='no label'):
        make_search().work()


def test_halving_ends_trials_at_rungs(trials_of, make_search):
    search = make_search(trials=12, rungs=(1 / 3, 1), sampler=dict(type='NearBest', generation=5))
    search.work()
    found = trials_of(search.folder)
    assert all(trial['status'] == 'done' for trial in found[:7])
    assert {trial['status'] for trial in found[7:]} == {'done', 'pruned'}
    pruned = [trial for trial in found if trial['status'] == 'pruned']
    assert all(trial['rung'] == 1 and trial['iterations'] == 2 for trial in pruned)


@pytest.mark.parametrize(
    ('sampler', 'options'),
    [
        ('TPESampler', {}),
        pytest.param('NSGAIISampler', {'objectives': ('score', 'madds')}, marks=pytest.mark.slow),
    ],
)
def test_samplers_of_optuna_come_by_name(trials_of, make_search, sampler, options):
    search = make_search(sampler={'_delete_': True, 'type': sampler}, **options)
    search.work()
    found = trials_of(search.folder)
    assert [trial['status'] for trial in found] == ['done'] * 6
    assert all(len(trial['cell']) == 3 for trial in found[2:])


def test_no_cell_above_the_budget_is_trained(trials_of, make_search):
    budget = 2_500_000
    search = make_search(max_madds=budget)
    search.work()
    found = trials_of(search.folder)
    assert all(trial['madds'] <= budget for trial in found[2:])
    search = make_search('timed', trials=3, max_ms=1e-6)
    search.work()
    (last,) = trials_of(search.folder)[2:]
    assert (last['status'], last['iterations'], last['score']) == ('over budget', 0, None)
    assert last['milliseconds'] > 1e-6


def test_a_search_of_other_settings_is_refused(make_search):
    make_search().work()
    with pytest.raises(InputError, match=r'begun with other settings \(iterations\)'):
        make_search(iterations=4)
    with pytest.raises(InputError, match=r'begun with other settings \(seed\)'):
        make_search(seed=1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'iteration': 3}, 'cell_search.iteration is unknown'),
        ({'iterations': 0}, 'cell_search.iterations 0'),
        ({'rungs': (0.5, 0.7)}, 'cell_search.rungs'),
        ({'crop': (60, 64)}, 'expected multiples of 16'),
        ({'crop': (128, 128)}, r'crop \(128, 128\) is larger than .* 64 x 80'),
        ({'sampler': {'_delete_': True, 'type': 'Nearest'}}, "sampler 'Nearest': not NearBest"),
        ({'sampler': {'type': 'NearBest', 'near': 1}}, 'cell_search.sampler .*near'),
        ({'space': {'rate': (1,)}}, 'cell_search.space .*rate'),
        ({'search_fraction': 1.0}, 'search_fraction 1.0'),
        ({'objectives': ('madds',)}, 'cell_search.objectives'),
    ],
)
def test_settings_without_meaning_are_refused(make_search, options, message):
    with pytest.raises(InputError, match=message):
        make_search(**options).work()


def test_a_space_of_which_much_coincides_is_warned_of():
    settings = CellSearchSettings(pipeline=[{}], mirror={})
    (warning,) = coincidence(settings, (8, 10))
    assert 'only 37 of 81 operations differ' in warning
    assert coincidence(settings, (32, 32)) == []


class TestReport:
    PARTS = (
        'References and best cells',
        'Scores',
        'Score against multiply-adds',
        'Trials against full trainings',
        'Best so far',
        'Best, median and worst cell',
        'Weight of the branches',
    )

    def test_seven_parts(self, make_search):
        search = make_search()
        search.work()
        records = search.desk.records(0)
        full = {0: 0.0, 1: 2.0, 3: 1.5, 4: -1.0}
        write_report(search.folder, 'python tools/search_cell.py x', records, full)
        text = (search.folder / 'report.md').read_text()
        places = [text.index(f'## {part}\n') for part in self.PARTS]
        assert places == sorted(places)
        rho = spearmanr([records[i].score for i in full], [*full.values()]).statistic
        assert f'rho {rho:.2f} (n = 4)' in text
        assert '| ASPP | 0.000 | 0.000 |' in text
        assert '73.97' in text
        html = (search.folder / 'report.html').read_text()
        assert html.count('<img') == 8
        write_report(search.folder, 'command', [], {})


class TestTool:
    def command(self, config_path, out, *words):
        return [
            *(sys.executable, str(ROOT / 'tools/search_cell.py'), str(config_path)),
            *('-o', str(out), *map(str, words)),
        ]

    @pytest.fixture
    def run(self, config_path, tmp_path):
        environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}

        def run(out, *words, kill_after=None):
            command = self.command(config_path, tmp_path / out, *words)
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            if kill_after is None:
                text, _ = process.communicate()
                assert process.returncode == 0, text
                return text
            place = tmp_path / out / 'trials.jsonl'
            while not place.exists() or len(place.read_text().splitlines()) < kill_after:
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)
            for folder in Path('/proc').glob('[0-9]*'):  # its workers lead groups of their own
                try:
                    words_of = (folder / 'cmdline').read_text().split('\0')
                except OSError:
                    continue
                if 'mmbmtas.cells.worker' in words_of and str(tmp_path / out) in words_of:
                    os.kill(int(folder.name), signal.SIGKILL)
            process.wait()
            return ''

        return run

    @pytest.mark.slow
    def test_jobs_and_kills_change_nothing(self, trials_of, run, tmp_path):
        run('one', '--trials', 24, '--jobs', 1)
        run('two', '--trials', 24, '--jobs', 2)
        for count in (2, 7, 15):
            run('killed', '--trials', 24, '--jobs', 2, kill_after=count)
        run('killed', '--trials', 24, '--jobs', 2)
        one, two, killed = (trials_of(tmp_path / name) for name in ('one', 'two', 'killed'))
        assert len(one) == 24
        assert one == two == killed

    @pytest.mark.slow
    def test_the_best_are_trained_in_full(self, run, tmp_path):
        text = run('full', '--rerank', 1)
        assert 'full-0-test: done' in text
        report = (tmp_path / 'full/report.md').read_text()
        assert '(n = 3)' in report
        (tmp_path / 'full/report.md').unlink()
        run('full', '--report-only')
        again = (tmp_path / 'full/report.md').read_text()
        assert again.replace(' --report-only', '') == report.replace(' --rerank 1', '')
