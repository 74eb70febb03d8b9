"""Steps that need one another: order, failures, interruptions, and what is not done twice."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mmbmtas.launch.jobs import (
    Scheduler,
    State,
    Step,
    StepFolders,
    describe_changes,
    lock_folder,
    with_needs,
)


class Diary:
    """Notes what happens."""

    def __init__(self):
        self.events, self.most = [], 0

    def update(self, scheduler):
        running = [*scheduler.states.values()].count(State.RUNNING)
        self.most = max(self.most, running)

    def changed(self, scheduler, step):
        self.events.append((step.name, scheduler.states[step.name].value))

    def begun(self):
        return [name for name, state in self.events if state == 'running']


@pytest.fixture
def make(tmp_path):
    """Make a step that runs a line of Python, then writes its output."""
    folders = StepFolders(tmp_path / 'work')

    def step(name, code='pass', needs=(), settings=None, writes=True):
        output = folders[name] / 'out.txt'
        lines = [code, f'open({str(output)!r}, "a").write("x")' if writes else '']
        command = ['-S', '-c', '\n'.join(lines)]
        return Step(name, 'toy', settings or {'code': code}, lambda: command, output, tuple(needs))

    step.folders = folders
    return step


def run(steps, folders, **options):
    scheduler, diary = Scheduler(with_needs(steps), folders, **options), Diary()
    scheduler.run(diary, interval=0.01)
    return scheduler, diary


def states(scheduler):
    return {name: state.value for name, state in scheduler.states.items()}


def test_needs_come_first_and_each_step_once(make):
    root = make('root')
    left, right = make('left', needs=[root]), make('right', needs=[root])
    top = make('top', needs=[right, left])
    assert [step.name for step in with_needs([top, left])] == ['root', 'right', 'left', 'top']
    scheduler, diary = run([top, left], make.folders)
    assert diary.begun() == ['root', 'right', 'left', 'top']
    assert {*states(scheduler).values()} == {'done'}
    assert top.output.read_text() == 'x'


def test_as_many_at_once_as_asked_for(make):
    steps = [make(f's{i}', 'import time; time.sleep(0.3)') for i in range(4)]
    start = time.monotonic()
    _, diary = run(steps, make.folders, jobs=4)
    assert diary.most == 4
    assert time.monotonic() - start < 4 * 0.3 + 1.5
    _, diary = run([make(f'one{i}') for i in range(3)], make.folders)
    assert diary.most == 1


def test_what_is_done_is_not_done_again(make):
    root = make('root')
    run([root], make.folders)
    top = make('top', needs=[root])
    _, diary = run([top], make.folders)
    assert diary.begun() == ['top']
    root.output.unlink()  # lost: it is made again
    _, diary = run([root], make.folders)
    assert diary.begun() == ['root']
    assert make.folders.seconds(root) > 0


def test_a_failure_takes_along_only_what_needs_it(make):
    broken = make('broken', 'print("so and so"); raise SystemExit(3)')
    after = make('after', needs=[broken])
    last = make('last', needs=[after])
    other = make('other')
    scheduler, diary = run([last, other], make.folders)
    assert states(scheduler) == {
        **{'broken': 'failed', 'after': 'skipped', 'last': 'skipped', 'other': 'done'}
    }
    assert make.folders.tail(broken)[-1] == 'so and so'
    assert 'after' not in diary.begun()
    scheduler, diary = run([last], make.folders)  # tried again
    assert diary.begun() == ['broken']


def test_a_step_must_leave_its_output(make):
    scheduler, _ = run([make('idle', writes=False)], make.folders)
    assert states(scheduler) == {'idle': 'failed'}
    assert 'has not written' in (make.folders['idle'] / 'log.txt').read_text()


def test_settings_that_changed_are_named(make):
    old = make('a', settings={'lr': 1, 'deep': {'x': [1, 2], 'y': 0}})
    run([old], make.folders)
    new = make('a', settings={'lr': 1, 'deep': {'x': (1, 3), 'y': 0}, 'more': True})
    assert make.folders.changes(old) == []
    assert make.folders.changes(new) == ['deep.x: [1, 2], now [1, 3]', 'more: None, now True']
    assert not make.folders.is_done(new)
    make.folders.forget(new)
    assert make.folders.changes(new) == []
    assert describe_changes({'a': 1}, {'a': 1}) == []


def test_environment_of_the_processes(make, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    show = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'])"
    wait = 'import time; time.sleep(0.3); '
    steps = [make(f's{i}', wait + show) for i in range(2)]
    run(steps, make.folders, jobs=2, gpus=['4', '7'])
    assert [make.folders.tail(step)[-1] for step in steps] == ['1 4', '1 7']
    run([make('launched')], make.folders, launch=['env', 'A=1'])
    assert (make.folders['launched'] / 'log.txt').read_text().startswith('$ env A=1 ')


def test_an_interruption_ends_the_processes_and_counts_their_time(make):
    step = make('slow', 'import time; time.sleep(60)')
    scheduler = Scheduler([step], make.folders)

    class Impatient(Diary):
        def update(self, scheduler):
            if self.begun() and scheduler.elapsed(step) > 0.3:
                raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scheduler.run(Impatient(), interval=0.01)
    assert time.monotonic() - start < 20
    assert not make.folders.is_done(step)
    before = make.folders.seconds(step)
    assert before >= 0.3
    quick = Step('slow', 'toy', step.settings, make('x').command, make('x').output)
    run([quick], make.folders)
    assert make.folders.seconds(quick) > before  # all attempts together


def test_a_kill_of_the_process_itself_leaves_a_record_to_go_on_from(make, tmp_path):
    """As after a power cut: the step is on record as begun, and is begun again."""
    script = tmp_path / 'main.py'
    script.write_text(
        'import sys, pathlib\n'
        'from mmbmtas.launch.jobs import Scheduler, Step, StepFolders\n'
        'class Silent:\n'
        '    def update(self, s): pass\n'
        '    def changed(self, s, step): print(step.name, flush=True)\n'
        f'folders = StepFolders(pathlib.Path({str(make.folders.root)!r}))\n'
        "command = ['-S', '-c', 'import time; time.sleep(3)']\n"
        "step = Step('slow', 'toy', {}, lambda: command, pathlib.Path('never'))\n"
        'Scheduler([step], folders).run(Silent())\n'
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'slow\n'
        os.kill(process.pid, signal.SIGKILL)
    step = make('slow', settings={'other': 1})
    assert make.folders.changes(step) == ['other: None, now 1']
    step = Step('slow', 'toy', {}, step.command, step.output)
    assert make.folders.changes(step) == []
    _, diary = run([step], make.folders)
    assert diary.events == [('slow', 'running'), ('slow', 'done')]


def test_the_tail_of_a_log_is_short_and_without_bars(make):
    step = make('a')
    make.folders['a'].mkdir(parents=True)
    bar = '\r'.join(f'[{i}/99]' for i in range(99))
    make.folders.log(step).write_text('first\n' * 9999 + bar + '\n\nlast\n')
    assert make.folders.tail(step, 2) == ['[98/99]', 'last']
    assert make.folders.tail(make('b')) == []


def test_a_folder_of_something_else_is_left_alone(make):
    step = make('a')
    make.folders['a'].mkdir(parents=True)
    Scheduler([step], make.folders)
    thesis = make.folders['a'] / 'thesis.tex'
    thesis.write_text('years of work')
    with pytest.raises(FileExistsError, match=r'thesis\.tex is in the way of the step a'):
        Scheduler([step], make.folders)
    make.folders.forget(step)
    assert thesis.is_file()


def test_the_next_process_waits_for_one_that_still_works(tmp_path, capsys):
    script = (
        'import sys, time\n'
        'from pathlib import Path\n'
        'from mmbmtas.launch.jobs import lock_folder\n'
        'lock = lock_folder(Path(sys.argv[1]))\n'
        "print('ready', flush=True)\n"
        'time.sleep(1)\n'
    )
    with subprocess.Popen(
        [sys.executable, '-c', script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == 'ready\n'
        start = time.monotonic()
        lock_folder(tmp_path).close()
        assert time.monotonic() - start > 0.5
    assert 'Another process works in' in capsys.readouterr().out
