"""How tools show that they go on."""

import io

import pytest

from mmbmtas import progress as module
from mmbmtas.datasets.parallel import run_parallel
from mmbmtas.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is moved by hand."""
    now = [0.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    return now


def test_a_log_gets_a_line_every_ten_seconds(clock):
    """10,000 items in 100 seconds: a line for each ten seconds and the last, each of the truth."""
    file = io.StringIO()
    with Progress(10000, 'checking', file) as progress:
        for number in range(10000):
            clock[0] = (number + 1) / 100
            progress.advance()
    lines = file.getvalue().splitlines()
    assert lines[0] == 'checking: 1000/10000 10%, 0:01:30 left'
    assert lines[-2] == 'checking: 9000/10000 90%, 0:00:10 left'
    assert lines[-1] == 'checking: 10000/10000 in 0:01:40'
    assert len(lines) == 10


def test_what_ends_early_says_where(clock):
    file = io.StringIO()

    def work():
        with Progress(5, 'checking', file) as progress:
            progress.advance(2)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert file.getvalue() == 'checking: 2/5 in 0:00:00\n'


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    file = Terminal()
    with Progress(2, 'checking', file) as progress:
        progress.advance()
        progress.advance()
    assert 'checking' in file.getvalue()
    assert '2/2' in file.getvalue()
    assert ' in 0:00:00' not in file.getvalue()


def test_work_on_many_files_is_a_line(capsys):
    assert sorted(run_parallel(abs, range(-500, 0), 1, 'taking')) == [*range(1, 501)]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('taking: 500/500 in ')
    assert [*run_parallel(abs, [], 4)] == []
