"""Which errors are one line for the user, and which keep their traceback."""

import errno
import os
import traceback
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIMIZERS
from mmengine.runner import CheckpointLoader, Runner
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from mmbmtas.engine.failures import NonFiniteGradientError, worker_death_explained
from mmbmtas.errors import InputError, WorkerError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.registry import MODELS

HINT = '(MMBMTAS_TRACEBACK=1 shows where)'


@pytest.fixture
def told(capsys):
    """Run something that fails and return its line of complaint, without the hint at its end."""

    def run(work):
        with pytest.raises(SystemExit) as caught, one_line_errors():
            work()
        assert caught.value.code == 1
        lines = capsys.readouterr().err.splitlines()
        (line,) = [line for line in lines if line.startswith('error: ')]
        assert line.count(HINT) == 1
        assert line.endswith(f' {HINT}')
        return line.removeprefix('error: ').removesuffix(f' {HINT}')

    return run


def fail(error):
    def work():
        raise error

    return work


def in_worker(work):
    """Let something fail as in a data loader's worker, which torch tells the main process of."""

    def load():
        try:
            work()
        except Exception:
            ExceptionWrapper(where='in DataLoader worker process 0').reraise()

    return load


class Broken(Dataset):
    """A data set whose samples cannot be read."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise InputError('a.jpg is broken')


class TestOurErrors:
    def test_message_is_one_line_and_the_status_1(self, told):
        assert told(fail(InputError('first\n  second'))) == 'first second'

    @pytest.mark.parametrize('kind', [WorkerError, NonFiniteGradientError])
    def test_all_kinds(self, kind, told):
        assert told(fail(kind('a thing'))) == 'a thing'

    def test_a_workers_error_is_told_without_its_traceback(self, told):
        loader = DataLoader(Broken(), num_workers=1)
        assert told(lambda: [*loader]) == 'a.jpg is broken'

    def test_the_variable_brings_the_traceback(self, monkeypatch):
        monkeypatch.setenv('MMBMTAS_TRACEBACK', '1')
        with pytest.raises(InputError), one_line_errors():
            raise InputError('x')


class TestFaultsOfTheCode:
    @pytest.mark.parametrize(
        'work',
        [
            lambda: np.zeros(2) + np.zeros(3),
            lambda: {}['a'],
            lambda: int('x'),
            lambda: torch.zeros(2) @ torch.zeros(3),
            lambda: np.zeros(2)[5],
            fail(ValueError('plain')),
            fail(FloatingPointError('underflow')),
            fail(ChildProcessError(errno.ECHILD, 'No child processes')),
            fail(OSError(errno.EIO, 'Input/output error')),
            fail(AssertionError()),
        ],
    )
    @pytest.mark.parametrize('place', [lambda work: work, in_worker])
    def test_traceback_stays(self, work, place, capsys):
        caught = None
        try:
            with one_line_errors():
                place(work)()
        except Exception as error:
            caught = error
        assert 'test_errors.py' in ''.join(traceback.format_exception(caught))
        assert capsys.readouterr().err == ''

    def test_a_constructor_that_is_not_a_librarys(self):
        class Broken:
            def __init__(self):
                Broken(depth=3)

        class Shapes:
            def __init__(self):
                np.zeros(2) + np.zeros(3)

        for kind, error in ((Broken, TypeError), (Shapes, ValueError)):
            with pytest.raises(error), one_line_errors():
                MODELS.build({'type': kind})


class TestSystem:
    @pytest.mark.parametrize(
        ('number', 'kind'),
        [
            (errno.ENOENT, FileNotFoundError),
            (errno.EACCES, PermissionError),
            (errno.EEXIST, FileExistsError),
            (errno.EISDIR, IsADirectoryError),
            (errno.ENOTDIR, NotADirectoryError),
            (errno.EROFS, OSError),
            (errno.ENOSPC, OSError),
            (errno.EDQUOT, OSError),
            (errno.EFBIG, OSError),
            (errno.ELOOP, OSError),
            (errno.EMFILE, OSError),
        ],
    )
    @pytest.mark.parametrize('place', [lambda work: work, in_worker])
    def test_the_file_and_the_reason_are_told(self, number, kind, place, told):
        error = OSError(number, os.strerror(number), 'some/file')
        assert type(error) is kind
        line = told(place(fail(error)))
        assert 'some/file' in line
        assert os.strerror(number) in line

    def test_names_that_are_too_long(self, told, tmp_path):
        line = told((tmp_path / ('x' * 300)).read_text)
        assert line.endswith('xxx: File name too long')

    def test_a_folder_that_is_a_file(self, told, tmp_path):
        file = tmp_path / 'file'
        file.touch()
        assert told(file.mkdir) == f'{file}: is a file, expected a folder'
        assert told((file / 'below').mkdir) == f'{file}/below: Not a directory'
        assert told(tmp_path.read_text) == f'{tmp_path}: Is a directory'

    def test_both_names_of_a_move(self, told, tmp_path):
        lost = tmp_path / 'lost'
        line = told(lambda: lost.rename(tmp_path / 'new'))
        assert line == f'{lost} -> {tmp_path / "new"}: No such file or directory'

    def test_a_full_disk(self, told):
        def write():
            with open('/dev/full', 'w') as file:
                file.write('x')

        assert told(write) == (
            'No space left on device: make room (df -h shows what is full, /dev/shm included)'
        )

    def test_a_full_shared_memory_in_a_worker(self, told):
        # What torch's CPU allocator raises; the words are torch's (MapAllocator.cpp).
        message = 'unable to write to file </torch_12_34_0>: No space left on device (28)'

        def load():
            with worker_death_explained('train_dataloader'):
                in_worker(fail(RuntimeError(message)))()

        line = told(load)
        assert line.startswith(message)
        assert 'docker run --shm-size=8g' in line
        assert 'train_dataloader.num_workers' in line

    def test_a_graphics_card_that_is_full(self, told):
        error = torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2 GiB')
        assert 'A smaller total_batch_size' in told(fail(error))


class TestLibraries:
    @pytest.mark.parametrize(
        ('entry', 'expected'),
        [
            ({'type': 'ResourceLos'}, "did you mean 'ResourceLoss'?"),
            ({'type': 'ResourceLoss', 'target_madd': 1}, "'target_madd'; it takes weight, expect"),
            ({'type': 'DeepLabV3PlusHead'}, "missing 3 required positional arguments: 'in_chan"),
            ({'weight': 1}, "a part of the config has no type: {'weight': 1}"),
            ({'type': 5}, 'type must be a str or valid type'),
        ],
    )
    def test_objects_that_cannot_be_built(self, entry, expected, told):
        assert expected in told(lambda: MODELS.build(entry))

    @pytest.mark.parametrize(
        ('options', 'expected'),
        [
            ({'lr': -1.0}, 'ValueError: Invalid learning rate: -1.0'),
            ({'lr': 'fast'}, 'TypeError: '),
            ({'lr': 1.0, 'momentum': -1.0}, 'ValueError: Invalid momentum value: -1.0'),
        ],
    )
    def test_values_that_torch_refuses(self, options, expected, told):
        cfg = {'type': 'SGD', **options}
        line = told(lambda: OPTIMIZERS.build(cfg, default_args={'params': [torch.zeros(1)]}))
        assert f'lr={options["lr"]!r}' in line
        assert expected in line
        assert 'tensor' not in line

    def test_arguments_that_torch_refuses_of_ours(self, told):
        head = {'type': 'DeepLabV3PlusHead', 'in_channels': (8, 64), 'num_classes': 1}
        head |= {'low_level_channels': 4, 'target_key': 'gt_edge', 'channels': 8}
        head['conv_cfg'] = {'type': 'Conv2d', 'padding_mode': 'none'}
        line = told(lambda: MODELS.build(head))
        assert "'padding_mode': 'none'" in line
        assert 'ValueError: padding_mode must be one of' in line

    def test_an_optimizer_that_there_is_not(self, told):
        cfg = {'optimizer': {'type': 'Nope', 'lr': 1.0}}
        line = told(lambda: DefaultOptimWrapperConstructor(cfg)(torch.nn.Linear(1, 1)))
        assert line == 'Nope is not in the registry of optimizers'

    @pytest.mark.parametrize(
        ('entries', 'expected'),
        [
            ({'train_cfg': {'max_iters': 1}}, 'train_dataloader, train_cfg, and optim_wrapper'),
            ({'randomness': {'seed': 'abc'}}, 'mmengine cannot make a runner of the config'),
            ({'env_cfg': {'mp_cfg': {'mp_start_method': 'zzz'}}}, "cannot find context for 'zzz'"),
            ({'randomness': {'sed': 1}}, "unexpected keyword argument 'sed'"),
            ({'param_scheduler': []}, 'param_scheduler should be None when optim_wrapper is None'),
        ],
    )
    def test_a_runner_that_cannot_be_made(self, entries, expected, told, tmp_path):
        cfg = Config({'model': {'type': 'ToyModel'}, 'work_dir': str(tmp_path), **entries})
        assert expected in told(lambda: Runner.from_cfg(cfg))

    def test_missing_entries_are_named(self, told, tmp_path):
        cfg = Config({'a': {}})
        assert told(lambda: cfg.model) == "the config lacks an entry 'model'"
        assert told(lambda: cfg['model']) == "the config lacks an entry 'model'"
        assert told(lambda: cfg.a.b) == "the config lacks an entry 'b'"

    def test_a_checkpoint_that_cannot_be_read_is_named(self, told):
        line = told(lambda: CheckpointLoader.load_checkpoint('torchvision://nosuch'))
        assert line.startswith('torchvision://nosuch')

    def test_a_checkpoint_that_cannot_be_resumed_from_is_named(self, told):
        runner = SimpleNamespace(
            load_checkpoint=lambda *_, **__: {'meta': {}},
            train_loop=SimpleNamespace(),
            _train_loop=SimpleNamespace(),
        )
        line = told(lambda: Runner.resume(runner, 'mine.pth', map_location='cpu'))
        assert line == 'mine.pth cannot be resumed from: KeyError: epoch'

    def test_a_batch_of_one_image_is_explained(self, told):
        line = told(lambda: torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1)))
        assert 'give each rank at least 2 (total_batch_size)' in line
