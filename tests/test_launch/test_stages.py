"""A job in stages: what is done stays done, what was interrupted leaves nothing half-written."""

import json
import subprocess
import sys
import time

import pytest

from mmbmtas.launch.stages import Stages, write_json


def test_a_stage_runs_once_and_another_process_would_skip_it(tmp_path):
    runs = []
    Stages(tmp_path, {'seed': 0}).run('search', lambda: runs.append('first'))
    stages = Stages(tmp_path, {'seed': 0})
    stages.run('search', lambda: runs.append('second'))
    assert runs == ['first']
    assert set(stages.seconds) == {'search'}


def test_an_interrupted_stage_runs_again(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path, {}).run('search', interrupt)
    runs = []
    Stages(tmp_path, {}).run('search', lambda: runs.append(1))
    assert runs == [1]


def test_other_settings_need_overwrite_which_empties_the_folder(tmp_path):
    Stages(tmp_path, {'sizes': (1, 2)}).run('search', (tmp_path / 'old').mkdir)
    Stages(tmp_path, {'sizes': (1, 2)})
    with pytest.raises(ValueError, match='--overwrite'):
        Stages(tmp_path, {'sizes': (1, 3)})
    stages = Stages(tmp_path, {'sizes': (1, 3)}, overwrite=True, contents=['old'])
    assert stages.seconds == {}
    assert not (tmp_path / 'old').exists()


def test_overwrite_removes_what_the_job_made_and_nothing_else(tmp_path):
    Stages(tmp_path, {'seed': 0}).run('search', (tmp_path / 'old').mkdir)
    (tmp_path / 'mine').mkdir()
    with pytest.raises(FileExistsError, match='holds mine'):
        Stages(tmp_path, {'seed': 1}, overwrite=True, contents=['old'])
    assert {path.name for path in tmp_path.iterdir()} == {'.lock', 'stages.json', 'old', 'mine'}


@pytest.mark.parametrize('overwrite', [False, True])
def test_a_folder_of_something_else_is_left_alone(tmp_path, overwrite):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(ValueError, match=r'thesis\.tex'):
        Stages(tmp_path, {}, overwrite)
    assert (tmp_path / 'thesis.tex').exists()


def test_a_failing_command_is_an_error(tmp_path, capfd):
    stages = Stages(tmp_path, {})
    with pytest.raises(subprocess.CalledProcessError):
        stages.call(['-c', 'import sys; sys.exit(3)'])
    assert '$ python -c' in capfd.readouterr().out


def test_the_next_process_waits_for_one_that_still_works(tmp_path):
    script = (
        'import sys, time\n'
        'from mmbmtas.launch.stages import Stages\n'
        'stages = Stages(sys.argv[1], {})\n'
        "print('ready', flush=True)\n"
        "stages.run('slow', lambda: time.sleep(1))\n"
    )
    with subprocess.Popen(
        [sys.executable, '-c', script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == 'ready\n'
        start = time.monotonic()
        stages = Stages(tmp_path, {})
        assert time.monotonic() - start > 0.5
        assert 'slow' in stages.seconds


def test_what_fails_while_it_is_written_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.json'
    write_json({'a': 1}, path)
    with pytest.raises(ValueError, match='JSON'):
        write_json({'a': float('nan')}, path)
    assert json.loads(path.read_text()) == {'a': 1}
