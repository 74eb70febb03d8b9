"""Two processes work on one study in a PostgreSQL database, and one of them is killed."""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mmbmtas.cells import study as study_module
from mmbmtas.cells.worker import Search
from mmbmtas.errors import InputError


def _free_port():
    with contextlib.closing(socket.socket()) as connection:
        connection.bind(('127.0.0.1', 0))
        return connection.getsockname()[1]


@pytest.fixture
def database():
    """The address of an empty database; PostgreSQL does not run as root."""
    pytest.importorskip('psycopg')
    missing = [name for name in ('initdb', 'postgres') if shutil.which(name) is None]
    as_root = os.geteuid() == 0
    if missing or (as_root and shutil.which('runuser') is None):
        pytest.skip('PostgreSQL is not installed')
    folder, port = Path(tempfile.mkdtemp()), _free_port()
    prefix = ['runuser', '-u', 'nobody', '--'] if as_root else []
    if as_root:
        os.chown(folder, pwd.getpwnam('nobody').pw_uid, -1)
    data = str(folder / 'data')
    initdb = [*prefix, 'initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8']
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
    command = [*prefix, 'postgres', '-D', data, '-F', '-p', str(port), '-k', str(folder)]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port)):
                break
            time.sleep(0.1)
        time.sleep(1)
        yield f'postgresql+psycopg://postgres@127.0.0.1:{port}/postgres'
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_killed_process_is_replaced_by_another(trials_of, make_search, database, monkeypatch):
    whole = make_search('whole')
    whole.work()
    shared = make_search('shared')
    words = [shared.folder, '--trials', 6, '--seed', 0, '--process', 'a', '--storage', database]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    other = subprocess.Popen(
        [sys.executable, '-m', 'mmbmtas.cells.worker', *map(str, words)], env=environment
    )
    record = shared.folder / 'trials.jsonl'
    while not record.exists():
        assert other.poll() is None
        time.sleep(0.05)
    other.kill()
    other.wait()
    monkeypatch.setattr(study_module, '_HEARTBEAT', 1)
    monkeypatch.setattr(study_module, '_GRACE', 3)
    search = Search(shared.folder, 6, 0, database, 'b')
    search.work()
    assert trials_of(shared.folder) == trials_of(whole.folder)


def test_a_database_that_cannot_be_reached_is_told(make_search):
    search = make_search()
    address = 'postgresql+psycopg://nobody@127.0.0.1:1/none'
    with pytest.raises(InputError, match=f'--storage {re.escape(address)}: '):
        Search(search.folder, 6, 0, address)
    with pytest.raises(InputError, match=r'--storage nonsense: '):
        Search(search.folder, 6, 0, 'nonsense')
