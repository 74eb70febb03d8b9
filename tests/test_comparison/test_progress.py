"""How long the rest takes, and what is shown of it."""

import io

import pytest
from rich.console import Console

from mmbmtas.comparison.progress import Progress, clock, remaining_seconds
from mmbmtas.launch.jobs import Scheduler, State, Step, StepFolders


@pytest.fixture
def scheduler(tmp_path):
    """A search of 100 s, a training of 40 s; half a training runs, two more steps wait."""
    folders = StepFolders(tmp_path)

    def step(name, kind, needs=()):
        return Step(name, kind, {}, list, tmp_path / name / 'out', tuple(needs))

    search, done = step('a/search', 'search'), step('a/train', 'train')
    running = step('b/train', 'train')
    test = step('b/test', 'test', [running])
    waiting = step('c/train', 'train')
    steps = [search, done, running, test, waiting]
    for done_step, seconds in ((search, 100), (done, 40)):
        folders.write(done_step, seconds, done=True)
        done_step.output.touch()
    folders.write(running, 15, done=False)
    scheduler = Scheduler(steps, folders, jobs=2)
    scheduler.states['b/train'] = State.RUNNING
    return scheduler


def test_the_rest_takes_what_its_kind_took(scheduler):
    # b/train 25 s, then a test, of which none is known: 70 s on average; c/train 40 s beside it.
    assert remaining_seconds(scheduler) == pytest.approx(25 + 70)  # the longest chain
    scheduler.jobs = 1
    assert remaining_seconds(scheduler) == pytest.approx(25 + 70 + 40)
    scheduler.states.update(dict.fromkeys(scheduler.states, State.DONE))
    assert remaining_seconds(scheduler) == 0
    scheduler.states.update(dict.fromkeys(scheduler.states, State.WAITING))
    assert remaining_seconds(scheduler) is None
    assert clock(3725.4) == '1:02:05'


def show(scheduler, **options):
    text = io.StringIO()
    with Progress(Console(file=text, width=100, **options)) as progress:
        running = next(step for step in scheduler.steps if step.name == 'b/train')
        scheduler.folders.log(running).write_text('Iter(train) [ 15/40]  lr: 1\n')
        progress.update(scheduler)
        progress.changed(scheduler, running)
        scheduler.states['b/train'] = State.FAILED
        progress.changed(scheduler, running)
    return text.getvalue()


def test_lines_where_there_is_no_terminal(scheduler):
    begins, failed, tail = show(scheduler).splitlines()
    assert begins.endswith('2/5 steps, 0:01:35 left: b/train begins')
    assert 'b/train FAILED, see ' in failed
    assert tail == '    Iter(train) [ 15/40]  lr: 1'


def test_a_table_on_a_terminal(scheduler):
    shown = show(scheduler, force_terminal=True, color_system=None)
    row = next(line for line in shown.splitlines() if 'train 15/40' in line)
    assert '▸·' in row
    assert '0:00:15' in row
    assert '✓✓' in shown
