"""Two trainings never share a work directory, and one that was killed keeps nobody out."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from mmbmtas.launch import work_dir
from mmbmtas.launch.work_dir import sole_training

HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1] + '/.lock', 'a+')
fcntl.lockf(file, fcntl.LOCK_EX)
file.write('process 7 on there'), file.flush()
print('ready', flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    words = [sys.executable, '-c', HOLDER, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'ready\n'
        yield process
        process.kill()


def enter(folder):
    with sole_training(folder):
        return True


def test_the_second_is_refused(tmp_path, other):
    with pytest.raises(FileExistsError, match=r'another training .*\(process 7 on there\)'):
        enter(tmp_path)


def test_a_killed_one_keeps_nobody_out(tmp_path, other):
    other.kill()
    other.wait()
    assert enter(tmp_path)


def test_a_killed_one_whose_workers_live_on_keeps_nobody_out(tmp_path):
    """A data loader's workers notice their parent's death some seconds late."""
    context = multiprocessing.get_context('fork')
    told, parts = context.Pipe()

    def train():
        with sole_training(tmp_path):
            worker = os.fork()
            if worker == 0:
                signal.pause()
            told.send(worker)
            signal.pause()

    process = context.Process(target=train)
    process.start()
    worker = parts.recv()
    try:
        with pytest.raises(FileExistsError, match=f'process {process.pid} on'):
            enter(tmp_path)
        process.kill()
        process.join()
        os.kill(worker, 0)  # it lives
        assert enter(tmp_path)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_one_after_the_other(tmp_path):
    for _ in range(2):
        assert enter(tmp_path / 'new' / 'run')


def test_other_folders_are_free(tmp_path, other):
    assert enter(tmp_path / 'another')


def test_a_file_is_no_work_directory(tmp_path):
    (tmp_path / 'a').touch()
    with pytest.raises(FileExistsError, match=r'work_dir = .*a is a file: expected a folder'):
        enter(tmp_path / 'a')


@pytest.mark.parametrize('is_free', [True, False])
def test_other_ranks_do_as_the_main_process(tmp_path, monkeypatch, is_free):
    def receive(outcome):
        outcome[0] = None if is_free else FileExistsError('taken')

    monkeypatch.setattr(work_dir, 'is_main_process', lambda: False)
    monkeypatch.setattr(work_dir, 'broadcast_object_list', receive)
    if is_free:
        assert enter(tmp_path)
    else:
        with pytest.raises(FileExistsError, match='taken'):
            enter(tmp_path)
    assert not (tmp_path / '.lock').exists()


def test_where_no_locks_are_work_goes_on(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(work_dir.fcntl, 'lockf', refuse)
    assert enter(tmp_path)
