"""How a command line that the same command continues comes to its end."""

import signal

import pytest

from mmbmtas.errors import InputError
from mmbmtas.launch.interruption import run_resumable


@pytest.fixture(autouse=True)
def _former_handler():
    former = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, former)


def end_of(main):
    with pytest.raises(SystemExit) as caught:
        run_resumable(main, 'toy')
    return caught.value.code


def failing(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize('status', [None, 0, 3])
def test_its_own_status(status):
    assert end_of(lambda: status) == status


def test_an_error_of_the_user_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv('MMBMTAS_TRACEBACK', raising=False)
    assert end_of(failing(InputError('seeds = []: expected one'))) == 1
    assert 'error: seeds = []: expected one' in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_resumable(lambda: 1 // 0, 'toy')


def test_ctrl_c_says_that_the_command_continues():
    assert end_of(failing(KeyboardInterrupt())) == 'toy: interrupted; the same command continues'


def test_a_polite_kill_lets_the_command_line_clean_up():
    ended = []

    def main():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            ended.append('processes')

    assert end_of(main) == 143
    assert ended == ['processes']
