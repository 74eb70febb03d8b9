"""A run that was killed ends, once resumed, with the same numbers as one that was not: bit for bit.

Processes are killed outright (SIGKILL), also while they write a checkpoint.
"""

import errno
import itertools
import logging
import multiprocessing
import os
import signal

import mmengine.runner
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from mmbmtas.engine import checkpoint_files
from mmbmtas.engine.checkpoint_files import find_whole_checkpoint
from mmbmtas.engine.hooks import CheckpointHook
from mmbmtas.engine.runner import search_loop

TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9}


@pytest.fixture(autouse=True, scope='module')
def _one_thread():
    """Processes that are forked cannot use their parent's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class AugmentedImages(torch.utils.data.Dataset):
    """Noise with labels, and more noise anew in each draw."""

    metainfo = {'classes': {}}  # noqa: RUF012

    def __init__(self, toys):
        self.sample, self.loaded = toys.sample, 0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.loaded += 1
        noise = np.random.randint(64, size=(3, 32, 32), dtype=np.uint8)
        image = torch.randint(128, (3, 32, 32), dtype=torch.uint8) + torch.from_numpy(noise)
        return {'inputs': image, 'data_samples': self.sample(TASKS, (32, 32), seed=index)}


class Killer(Hook):
    """Kills the process: before an iteration, or at a checkpoint when half of it is written."""

    def __init__(self, before=None, writing=None):
        self.before, self.writing = before, writing

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        if runner.iter + 1 == self.writing:
            checkpoint_files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)


def everything(runner):
    """All that decides how a training goes on, and what it gives."""
    state = {
        'model': runner.model.state_dict(),
        'optimisers': runner.optim_wrapper.state_dict(),
        'schedulers': [
            scheduler.state_dict()
            for listed in (
                runner.param_schedulers.values()
                if isinstance(runner.param_schedulers, dict)
                else [runner.param_schedulers or []]
            )
            for scheduler in listed
        ],
    }
    for hook in runner.hooks:
        if hasattr(hook, 'ema_model'):
            state['average'] = hook.ema_model.state_dict()
    return state


def assert_same(one, other, where=''):
    """Compare nested dicts and lists of tensors and numbers, bit for bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f'{where}[{index}]')
    elif isinstance(one, torch.Tensor):
        same = torch.equal(one.nan_to_num(), other.nan_to_num())
        assert same, where
    else:
        assert one == other or one != one, where


class Runs:
    """The same run, whole and in pieces, each of which is killed but the last."""

    def __init__(self, build, folder):
        self.build, self.folder, self.pieces = build, folder, folder / 'pieces'

    def whole(self, **options):
        runner = self.build(self.folder / 'whole', Killer(), **options)
        runner.train()
        self.last = runner
        return everything(runner)

    def piece(self, killer, options):
        found = find_whole_checkpoint(self.pieces)
        resume = {'load_from': str(found), 'resume': True} if found else {}
        runner = self.build(self.pieces, killer, **options, **resume)
        runner.train()
        return runner

    def kill(self, options, **when):
        process = multiprocessing.get_context('fork').Process(
            target=self.piece, args=(Killer(**when), options)
        )
        process.start()
        process.join(timeout=120)
        assert process.exitcode == -signal.SIGKILL


def checkpoints(interval):
    return {'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': interval}}


@pytest.fixture
def searches(search_runner, toys, tmp_path):
    """Searches of 12 iterations: 2 of warm-up, then twice 2 + 3."""

    def build(folder, killer, model=(), **options):
        return search_runner(
            folder,
            [killer],
            model={**toys.search_config(TASKS, toys.TINY, weight=1.0), **dict(model)},
            dataset=AugmentedImages(toys),
            default_hooks={**checkpoints(3), **options.pop('default_hooks', {})},
            **options,
        )

    return Runs(build, tmp_path)


@pytest.fixture
def trainings(make_runner, toys, tmp_path):
    """Trainings of 6 iterations, with momentum, dropout and a falling rate."""

    def build(folder, killer, model=(), hooks=(), wrapper=(), **options):
        return make_runner(
            folder,
            {**toys.branched_config(TASKS, toys.TINY), **dict(model)},
            {'type': 'IterBasedTrainLoop', 'max_iters': 6},
            {'type': 'OptimWrapper', 'optimizer': SGD, **dict(wrapper)},
            custom_hooks=[killer, *hooks],
            param_scheduler=[{'type': 'PolyLR', 'power': 0.9, 'by_epoch': False, 'end': 6}],
            dataset=AugmentedImages(toys),
            default_hooks={**checkpoints(2), **options.pop('default_hooks', {})},
            **options,
        )

    return Runs(build, tmp_path)


@pytest.fixture
def path_searches(path_runner, tmp_path):
    """Searches of paths in 9 iterations, 2 of them warm-up, with a cost and ABDP."""

    def build(folder, killer, **options):
        loop = {'weight_iters': 9, 'target_madds': 800_000, 'reward': 'mnas'}
        model = {'loss_balancing': {'type': 'ABDP'}}
        hooks = {**checkpoints(2), **options.pop('default_hooks', {})}
        return path_runner(folder, [killer], loop, model=model, default_hooks=hooks, **options)

    return Runs(build, tmp_path)


def test_a_search_of_paths_killed_in_the_warm_up_and_later(path_searches):
    """M10: policies, averages, batches and paths go on as if nothing had been."""
    whole = path_searches.whole()
    path_searches.kill({}, before=3)
    path_searches.kill({}, writing=6)
    resumed = path_searches.piece(Killer(), {})
    assert_same(whole, everything(resumed))
    policies = [key for key in whole['model'] if '.policy.' in key]
    assert policies
    assert any(whole['model'][key].any() for key in policies)
    files = [path_searches.folder / name / 'architecture.json' for name in ('whole', 'pieces')]
    assert files[0].read_bytes() == files[1].read_bytes()
    baselines = resumed.message_hub.runtime_info['search_baselines']
    assert baselines == path_searches.last.message_hub.runtime_info['search_baselines']


def test_a_search_killed_again_and_again(searches):
    """Before the first checkpoint, while the second is written, and within a phase."""
    searches.kill({}, before=1)
    assert find_whole_checkpoint(searches.pieces) is None
    searches.kill({}, writing=6)
    assert [path.name for path in searches.pieces.glob('*.pth')] == ['iter_3.pth']
    (beside,) = searches.pieces.glob('.iter_6.pth.*.part')
    assert (beside / 'iter_6.pth').stat().st_size > 1000
    searches.kill({}, before=8)
    assert not [*searches.pieces.glob('.*.part')]
    assert (searches.pieces / 'last_checkpoint').read_text().endswith('iter_6.pth')
    runner = searches.piece(Killer(), {})
    assert runner.iter == 12
    assert_same(everything(runner), searches.whole())


@pytest.mark.parametrize(
    ('before', 'workers'),
    [(7, 2), *(pytest.param(k, n, marks=pytest.mark.slow) for k in (5, 11) for n in (0, 2))],
)
def test_a_search_resumed_with_other_workers(searches, before, workers):
    searches.kill({'loader': {'num_workers': 2 - workers}}, before=before)
    runner = searches.piece(Killer(), {'loader': {'num_workers': workers}})
    assert_same(everything(runner), searches.whole())


SEARCHES = {
    'uncertainty': {'model': {'loss_balancing': {'type': 'UncertaintyWeighting'}}},
    'dwa': {'model': {'loss_balancing': {'type': 'DynamicWeightAverage', 'window': 2}}},
    'gradnorm': {'model': {'loss_balancing': {'type': 'GradNorm'}}},
}


def some_slow(cases, fast):
    return [
        pytest.param(options, id=name, marks=[pytest.mark.slow] * (name not in fast))
        for name, options in cases.items()
    ]


@pytest.mark.parametrize('options', some_slow(SEARCHES, ['gradnorm']))
def test_a_search_with_balanced_losses(searches, options):
    searches.kill(options, before=5)
    assert_same(everything(searches.piece(Killer(), options)), searches.whole(**options))


TRAININGS = {
    'plain': {},
    'workers': {'loader': {'num_workers': 2, 'persistent_workers': True}},
    'endless': {'loader': {'sampler': {'type': 'InfiniteSampler', 'shuffle': True}}},
    'average': {'hooks': [{'type': 'EMAHook', 'momentum': 0.1}]},
    'adam': {'wrapper': {'optimizer': {'type': 'AdamW', 'lr': 0.01}}},
    'gradnorm': {'model': {'loss_balancing': {'type': 'GradNorm'}}},
    'aggregated': {
        'wrapper': {'type': 'JacobianOptimWrapper', 'aggregator': {'type': 'PCGrad'}},
    },
}


@pytest.mark.parametrize('options', some_slow(TRAININGS, ['endless', 'average']))
def test_a_training(trainings, options):
    if 'aggregator' in options.get('wrapper', {}):
        pytest.importorskip('torchjd')
    trainings.kill(options, writing=4)
    runner = trainings.piece(Killer(), options)
    assert_same(everything(runner), trainings.whole(**options))


SKIPS = {
    'by drawing': lambda drawn, count: [next(drawn) for _ in range(count)],  # up to 0.10.7
    'by skip_iter': lambda drawn, count: drawn.skip_iter(count),  # the maintained fork
    'not at all': lambda drawn, count: None,  # the fork with fast_forward_on_resume
}


@pytest.mark.parametrize('skip', SKIPS.values(), ids=SKIPS)
def test_a_training_goes_on_however_mmengine_skips_batches(trainings, monkeypatch, skip):
    def run(loop):
        loop.runner.call_hook('before_train')
        loop.runner.call_hook('before_train_epoch')
        if loop.iter > 0:
            skip(loop.dataloader_iterator, loop.iter)
        while loop.iter < loop.max_iters:
            loop.runner.model.train()
            loop.run_iter(next(loop.dataloader_iterator))

    monkeypatch.setattr(mmengine.runner.IterBasedTrainLoop, 'run', run)
    whole = everything(trainings.piece(Killer(), {}))
    (trainings.pieces / 'last_checkpoint').write_text(str(trainings.pieces / 'iter_4.pth'))
    runner = trainings.piece(Killer(), {})
    assert runner.train_dataloader.dataset.dataset.loaded == 2 * 2
    assert_same(everything(runner), whole)


def test_what_was_trained_on_is_not_loaded_again(trainings):
    trainings.kill({}, before=5)
    runner = trainings.piece(Killer(), {})
    assert runner.train_dataloader.dataset.dataset.loaded == 2 * 2


@pytest.mark.parametrize(
    ('sampler', 'found'),
    [
        ('DefaultSampler', 'set of 10 images has no whole batch of 16: expected'),
        ('InfiniteSampler', 'set has 10 images, fewer than the 16 of a batch: expected'),
    ],
)
def test_fewer_images_than_a_batch(trainings, sampler, found):
    """Without an end a sampler would repeat them; otherwise no batch would ever come."""
    options = {'loader': {'batch_size': 16, 'drop_last': True, 'sampler': {'type': sampler}}}
    with pytest.raises(ValueError, match=found):
        trainings.piece(Killer(), options)


def test_a_search_that_is_cut_otherwise_is_told_of(searches, monkeypatch):
    told = []

    def note(message, logger=None, level=logging.INFO):
        told.append((level, message))

    def warnings():
        return [message for level, message in told if level == logging.WARNING]

    monkeypatch.setattr(search_loop, 'print_log', note)
    searches.piece(Killer(), {})
    assert not warnings()
    (searches.pieces / 'last_checkpoint').write_text(str(searches.pieces / 'iter_6.pth'))
    searches.piece(Killer(), {'loader': {'batch_size': 1}})
    (message,) = warnings()
    assert 'began with 2 iterations of warm-up and passes of 3 and 2 batches' in message
    assert 'from iteration 7 on' in message


def test_the_order_matters(trainings):
    """What is compared bit for bit does change with the images' order."""
    other = trainings.whole(loader={'sampler': {'type': 'DefaultSampler', 'shuffle': False}})
    weight = 'backbone.stem.conv.weight'
    trainings.folder = trainings.folder / 'other'
    assert not torch.equal(other['model'][weight], trainings.whole()['model'][weight])


class TestCheckpointHook:
    @pytest.mark.parametrize('keep', [1, 2])
    def test_the_old_one_goes_when_the_new_one_is_there(self, trainings, keep):
        """Killed while the last of three is written, a run has still ``keep``."""
        hook = {**checkpoints(2)['checkpoint'], 'max_keep_ckpts': keep}

        def names():
            return sorted(path.name for path in trainings.pieces.glob('*.pth'))

        options = {'default_hooks': {'checkpoint': hook}}
        trainings.kill(options, writing=6)
        assert names() == ['iter_2.pth', 'iter_4.pth'][-keep:]
        trainings.piece(Killer(), options)
        assert names() == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth'][-keep:]

    @pytest.mark.parametrize('save_best', ['score', ['score', 'other']])
    def test_the_best_one_goes_when_a_better_one_is_there(self, trainings, save_best):
        seen = []

        class Validate(Hook):
            """Scores 1, 0, 2, 2 ... after the iterations; notes what is there at each writing."""

            def before_save_checkpoint(self, runner, checkpoint):
                seen.append([path.name for path in trainings.pieces.glob('best_score_*')])

            def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
                score = [1, 0, 2][min(batch_idx, 2)]
                (hook,) = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
                hook.after_val_epoch(runner, {'score': score, 'other': 0})

        hook = {**checkpoints(6)['checkpoint'], 'save_best': save_best, 'rule': 'greater'}
        trainings.piece(Killer(), {'default_hooks': {'checkpoint': hook}, 'hooks': [Validate()]})
        found = [names for names, _ in itertools.groupby(seen)]
        assert found == [[], ['best_score_iter_0.pth'], ['best_score_iter_2.pth']]

    def test_a_full_disk_leaves_the_last_good_one(self, trainings, monkeypatch):
        def refuse(_):
            raise OSError(errno.ENOSPC, 'full')

        class Fill(Hook):
            def before_train_iter(self, runner, batch_idx, data_batch=None):
                if runner.iter == 3:
                    monkeypatch.setattr(checkpoint_files.os, 'fsync', refuse)

        with pytest.raises(OSError, match=r'no space for the 0\.\d MB of .*iter_4\.pth'):
            trainings.piece(Killer(), {'hooks': [Fill()]})
        monkeypatch.undo()
        assert find_whole_checkpoint(trainings.pieces).name == 'iter_2.pth'
        assert [path.name for path in trainings.pieces.glob('*.pth')] == ['iter_2.pth']
        assert not [*trainings.pieces.rglob('*.part')]
        runner = trainings.piece(Killer(), {})
        assert_same(everything(runner), trainings.whole())

    def test_leftovers_go_where_files_are_written(self, trainings):
        """Checkpoints may lie elsewhere than the record of the last one."""
        hook = {**checkpoints(6)['checkpoint'], 'out_dir': str(trainings.folder / 'out')}
        for folder in (trainings.pieces, trainings.folder / 'out' / trainings.pieces.name):
            (folder / '.last_checkpoint.x.part').mkdir(parents=True)
        trainings.piece(Killer(), {'default_hooks': {'checkpoint': hook}})
        assert not [*trainings.folder.rglob('*.part')]

    def test_other_storages_write_as_they_do(self, trainings):
        hook = {**checkpoints(6)['checkpoint'], 'backend_args': {'backend': 'local'}}
        runner = trainings.piece(Killer(), {'default_hooks': {'checkpoint': hook}})
        (hook,) = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        assert hook.backend_args == {'backend': 'local'}
        assert (trainings.pieces / 'iter_6.pth').is_file()


class Memory(Hook):
    """Holds something of its own in checkpoints, some of it beyond them."""

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint['mine'] = {'count': np.int64(3), 'lock': object()}


class TestPlainCheckpoints:
    """torch's own safe loader, which is told of no further class, reads them."""

    @pytest.mark.parametrize('kind', ['search', 'training'])
    def test_of(self, kind, searches, trainings):
        runs = searches if kind == 'search' else trainings
        runs.piece(Killer(), {})
        checkpoint = torch.load(find_whole_checkpoint(runs.pieces), weights_only=True)
        assert checkpoint['message_hub']['log_scalars']['train/loss']['log_history'].ndim == 1

    def test_what_a_hook_adds_is_kept_or_told_of(self, trainings, caplog):
        with caplog.at_level(logging.WARNING):
            runner = trainings.piece(Killer(), {'hooks': [Memory()]})
            (hook,) = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        assert hook._left_out == ['mine.lock (object)']
        checkpoint = torch.load(trainings.pieces / 'iter_2.pth', weights_only=True)
        assert checkpoint['mine'] == {'count': 3}
