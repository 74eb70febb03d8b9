"""Shows the progress of a comparison: a live table on a terminal, plain lines elsewhere."""

import re
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mmbmtas.launch.jobs import Scheduler, State, Step

_ITERATION = re.compile(r'\[\s*(\d+)/(\d+)\]')
_REFRESH = 1.0


def remaining_seconds(scheduler: Scheduler) -> float | None:
    """Estimate the remaining time from the average time of steps of the same kind.

    A kind of which none is done yet counts as the mean of all steps that are; None before any is.
    The rest is divided among the processes, but takes at least as long as the longest chain.
    """
    known: dict[str, list[float]] = defaultdict(list)
    for step in scheduler.steps:
        if scheduler.states[step.name] is State.DONE:
            known[step.kind].append(scheduler.elapsed(step))
    if not known:
        return None
    means = {kind: sum(values) / len(values) for kind, values in known.items()}
    overall = sum(map(sum, known.values())) / sum(map(len, known.values()))
    left: dict[str, float] = {}
    chain: dict[str, float] = {}
    for step in scheduler.steps:
        final = scheduler.states[step.name].is_final
        expected = means.get(step.kind, overall)
        left[step.name] = 0.0 if final else max(expected - scheduler.elapsed(step), 0.0)
        before = max((chain[other.name] for other in step.needs), default=0.0)
        chain[step.name] = before + left[step.name]
    return max(sum(left.values()) / scheduler.jobs, *chain.values(), 0.0)


def clock(seconds: float) -> str:
    """Write a duration as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


class Progress:
    """Prints when steps begin and end; use it as a context manager.

    Args:
        console: Where to print; on a terminal the table is redrawn in place.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live: Live | None = None
        self._drawn = 0.0

    def __enter__(self) -> 'Progress':
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, scheduler: Scheduler) -> None:
        """Draw the table anew, at most once a second."""
        if self._live is not None and time.monotonic() - self._drawn >= _REFRESH:
            self._drawn = time.monotonic()
            self._live.update(draw_table(scheduler), refresh=True)

    def changed(self, scheduler: Scheduler, step: Step) -> None:
        """Print a line."""
        state = scheduler.states[step.name]
        words = {
            State.RUNNING: 'begins',
            State.DONE: f'done in {clock(scheduler.elapsed(step))}',
            State.FAILED: f'FAILED, see {scheduler.folders.log(step)}',
            State.SKIPPED: 'left out: something that it needs has failed',
        }
        now = time.strftime('%H:%M:%S')
        self.console.print(
            f'{now} {_summary(scheduler)}: {step.name} {words[state]}',
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        if state is State.FAILED:
            self.console.print(
                *(f'    {line}' for line in scheduler.folders.tail(step)),
                sep='\n',
                soft_wrap=True,
                highlight=False,
                markup=False,
            )


def _summary(scheduler: Scheduler) -> str:
    """Say how many steps are done and how long the rest takes."""
    states = [*scheduler.states.values()]
    left = remaining_seconds(scheduler)
    eta = '' if left is None else f', {clock(left)} left'
    lost = states.count(State.FAILED) + states.count(State.SKIPPED)
    failed = f', {lost} failed or left out' if lost else ''
    return f'{states.count(State.DONE)}/{len(states)} steps{failed}{eta}'


def draw_table(scheduler: Scheduler) -> Table:
    """Draw a row for each row of the results: the states of its steps, and what runs now."""
    table = Table(title=_summary(scheduler), title_justify='left')
    for heading, justify in (('', 'left'), ('steps', 'left'), ('time', 'right'), ('now', 'left')):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    groups: dict[str, list[Step]] = defaultdict(list)
    for step in scheduler.steps:
        groups[step.name.split('/')[0]].append(step)
    for name, steps in groups.items():
        running = [step for step in steps if scheduler.states[step.name] is State.RUNNING]
        seconds = sum(scheduler.elapsed(step) for step in steps)
        now = ', '.join(_now(scheduler, step) for step in running)
        table.add_row(name, _marks(scheduler, steps), clock(seconds) if seconds else '', now)
    return table


_MARKS = {
    State.WAITING: '[dim]·[/]',
    State.RUNNING: '[yellow]▸[/]',
    State.DONE: '[green]✓[/]',
    State.FAILED: '[red]✗[/]',
    State.SKIPPED: '[red]-[/]',
}


def _marks(scheduler: Scheduler, steps: Sequence[Step]) -> str:
    return ''.join(_MARKS[scheduler.states[step.name]] for step in steps)


def _now(scheduler: Scheduler, step: Step) -> str:
    """Say what a step does, with the iteration that its log tells."""
    found = _ITERATION.findall('\n'.join(scheduler.folders.tail(step, 3)))
    place = f' {found[-1][0]}/{found[-1][1]}' if found else ''
    return step.name.partition('/')[2] + place
