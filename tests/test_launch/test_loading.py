"""What a training takes from a checkpoint, what from its config, and what it says of both."""

import logging
from types import SimpleNamespace

import pytest
import torch

from mmbmtas.launch.loading import guard_loading, misfit_named

TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, 'weight_decay': 1e-4}
POLY = {'type': 'PolyLR', 'power': 0.9, 'eta_min': 0, 'by_epoch': False}


class Told(logging.Handler):
    """Warnings of what is loaded in a runner's log."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        if record.getMessage().startswith(('Resumed from', 'load_from')):
            self.lines.append(record.getMessage())


@pytest.fixture
def train(make_runner, toys, tmp_path):
    """Train a small tree; give the rate of each iteration, and what was warned of."""

    def run(name, iterations, schedules=None, optimizer=SGD, resume=None, wrapper=(), **options):
        options.setdefault('param_scheduler', schedules or [{**POLY, 'end': iterations}])
        runner = make_runner(
            tmp_path / name,
            toys.branched_config(TASKS, toys.TINY),
            {'type': 'IterBasedTrainLoop', 'max_iters': iterations},
            {'type': 'OptimWrapper', 'optimizer': dict(optimizer), **dict(wrapper)},
            default_hooks={
                'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 2}
            },
            load_from=None if resume is None else str(resume),
            resume=resume is not None,
            **options,
        )
        rates = []
        step = runner.call_hook

        def call_hook(name, **kwargs):
            if name == 'before_train_iter':
                rates.append(runner.optim_wrapper.get_lr()['lr'][0])
            step(name, **kwargs)

        runner.call_hook = call_hook
        guard_loading(runner, strict=resume is not None)
        told = Told()
        runner.logger.addHandler(told)
        runner.train()
        return SimpleNamespace(runner=runner, rates=rates, told=told.lines)

    return run


def forget_optimizers(path):
    """Make a checkpoint as earlier versions wrote them."""
    content = torch.load(path, weights_only=True)
    content['meta'].pop('optimizers')
    torch.save(content, path)


def poly(iterations, steps):
    """The published schedule: lr (1 - t / (T - 1)) ** 0.9 with mmengine's count of steps."""
    return pytest.approx([0.01 * (1 - t / (iterations - 1)) ** 0.9 for t in steps], abs=1e-9)


class TestSchedules:
    def test_resumed_as_it_was_nothing_is_told(self, train, tmp_path):
        assert train('first', 4).rates == poly(4, range(4))
        again = train('again', 4, resume=tmp_path / 'first/iter_2.pth')
        assert again.rates == poly(4, [2, 3])
        assert again.told == []

    def test_a_longer_training_goes_on_with_its_own_rates(self, train, tmp_path):
        """As an uninterrupted training of that length has them."""
        train('first', 4)
        longer = train('longer', 8, resume=tmp_path / 'first/iter_4.pth')
        assert longer.rates == poly(8, range(4, 8))
        (told,) = longer.told
        assert 'end 4 -> 8' in told
        assert f'lr = {longer.rates[0]:.4g}' in told

    @pytest.mark.parametrize(
        ('schedules', 'optimizer'),
        [
            ([{'type': 'MultiStepLR', 'milestones': [1, 5], 'gamma': 0.1, 'by_epoch': False}], SGD),
            (
                [
                    {'type': 'LinearLR', 'start_factor': 0.1, 'end': 3, 'by_epoch': False},
                    {**POLY, 'begin': 3, 'end': 8},
                ],
                SGD,
            ),
            ([{'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 8, 'by_epoch': False}], SGD),
            ([{**POLY, 'end': 8}], {**SGD, 'lr': 0.02}),
            ([{'type': 'CosineAnnealingLR', 'T_max': 8, 'by_epoch': False}], SGD),
        ],
    )
    def test_other_schedules_and_rates(self, train, tmp_path, schedules, optimizer):
        train('first', 4)
        resumed = train('again', 8, schedules, optimizer, resume=tmp_path / 'first/iter_4.pth')
        whole = train('whole', 8, schedules, optimizer)
        assert resumed.rates == pytest.approx(whole.rates[4:], rel=1e-9)
        assert resumed.told

    def test_functions_of_schedules_come_from_the_config(self, train, tmp_path):
        schedules = [{'type': 'OneCycleLR', 'eta_max': 0.1, 'total_steps': 4, 'by_epoch': False}]
        whole = train('first', 4, schedules)
        torch.load(tmp_path / 'first/iter_2.pth', weights_only=True)
        again = train('again', 4, schedules, resume=tmp_path / 'first/iter_2.pth')
        assert again.rates == whole.rates[2:]
        assert again.told == []

    def test_without_schedules(self, train, tmp_path):
        train('first', 4)
        resumed = train('again', 6, resume=tmp_path / 'first/iter_4.pth', param_scheduler=None)
        assert resumed.rates == [0.01, 0.01]

    def test_settings_of_the_optimiser(self, train, tmp_path):
        train('first', 2)
        optimizer = {**SGD, 'weight_decay': 0.5, 'momentum': 0.8}
        resumed = train('again', 4, [{**POLY, 'end': 2}], optimizer, tmp_path / 'first/iter_2.pth')
        (group,) = resumed.runner.optim_wrapper.param_groups
        assert (group['weight_decay'], group['momentum']) == (0.5, 0.8)
        told = ' '.join(resumed.told)
        assert 'weight_decay 0.0001 -> 0.5' in told
        assert 'momentum 0.9 -> 0.8' in told
        # Its schedule has ended, though.
        assert resumed.rates == [0, 0]
        assert 'lr is 0, and 2 iterations are left' in told

    def test_another_optimiser_is_refused(self, train, tmp_path):
        train('first', 2)
        path = tmp_path / 'first/iter_2.pth'
        with pytest.raises(ValueError, match='another optimiser than Adam: with SGD'):
            train('again', 4, None, {'type': 'Adam', 'lr': 0.1}, path)
        forget_optimizers(path)
        with pytest.raises(ValueError, match=r'another optimiser than Adam: it has no .*betas'):
            train('again', 4, None, {'type': 'Adam', 'lr': 0.1}, path)

    @pytest.mark.parametrize('kinds', [('Adam', 'AdamW'), ('AdamW', 'Adam')])
    def test_optimisers_of_the_same_settings(self, train, tmp_path, kinds):
        """Adam and AdamW have the same state, but decay weights in another way."""
        optimizer = {'lr': 0.1, 'weight_decay': 0.01}
        train('first', 2, None, {'type': kinds[0], **optimizer})
        path = tmp_path / 'first/iter_2.pth'
        with pytest.raises(ValueError, match=f'than {kinds[1]}: with {kinds[0]}. Set optim_wrap'):
            train('again', 4, None, {'type': kinds[1], **optimizer}, path)
        forget_optimizers(path)
        if 'decoupled_weight_decay' in torch.optim.Adam([torch.zeros(1)]).defaults:
            with pytest.raises(ValueError, match=f'than {kinds[1]}: its decoupled_weight_decay'):
                train('again', 4, None, {'type': kinds[1], **optimizer}, path)
        train('as before', 4, None, {'type': kinds[0], **optimizer}, path)

    @pytest.mark.parametrize('state', [{'state': 3, 'param_groups': 5}, {'param_groups': [1]}])
    def test_a_damaged_optimiser_is_named(self, train, tmp_path, state):
        train('first', 2)
        path = tmp_path / 'first/iter_2.pth'
        torch.save({**torch.load(path, weights_only=False), 'optimizer': state}, path)
        with pytest.raises(ValueError, match=r'iter_2\.pth cannot be resumed from: its optim'):
            train('again', 4, resume=path)

    def test_other_groups_of_parameters_are_refused(self, train, tmp_path):
        train('first', 2)
        wrapper = {'paramwise_cfg': {'norm_decay_mult': 0.0}}
        with pytest.raises(ValueError, match='has 1 groups of parameters in its optimiser'):
            train('again', 4, resume=tmp_path / 'first/iter_2.pth', wrapper=wrapper)

    def test_several_groups(self, train, tmp_path):
        wrapper = {'paramwise_cfg': {'norm_decay_mult': 0.0}}
        train('first', 4, wrapper=wrapper)
        longer = train('longer', 8, resume=tmp_path / 'first/iter_4.pth', wrapper=wrapper)
        assert longer.rates == poly(8, range(4, 8))
        assert len(longer.told) == 1

    def test_nothing_left(self, train, tmp_path):
        train('first', 2)
        resumed = train('again', 2, resume=tmp_path / 'first/iter_2.pth')
        assert resumed.rates == []
        assert 'it is at iteration 2 of 2, nothing is left to train' in resumed.told[0]

    def test_another_seed(self, train, tmp_path):
        train('first', 2)
        resumed = train('again', 4, resume=tmp_path / 'first/iter_2.pth', randomness={'seed': 7})
        assert any("the seed stays the checkpoint's, 0, not" in line for line in resumed.told)

    def test_a_longer_search(self, search_runner, toys, tmp_path):
        """Its rate falls with the iterations of the weights only."""

        def search(name, weight_iters, **options):
            runner = search_runner(
                tmp_path / name,
                loop={'weight_iters': weight_iters},
                model=toys.search_config(TASKS, toys.TINY, weight=1.0),
                **options,
            )
            for schedule in runner.param_schedulers['weights']:
                schedule['end'] = weight_iters + 2  # the rate is not 0 at the end
            guard_loading(runner, strict='resume' in options)
            runner.train()
            return runner.optim_wrapper['weights'].get_lr()['lr']

        search('first', 8)
        (found,) = {path.name for path in (tmp_path / 'first').glob('iter_12.pth')}
        checkpoint = str(tmp_path / 'first' / found)
        longer = search('longer', 11, load_from=checkpoint, resume=True)
        assert longer == pytest.approx(search('whole', 11))
        assert longer[0] > 0


class TestLoading:
    @pytest.fixture
    def runner(self, toys, make_runner, tmp_path):
        def build(**options):
            return make_runner(
                tmp_path / 'run',
                toys.branched_config(TASKS, toys.TINY),
                {'type': 'IterBasedTrainLoop', 'max_iters': 1},
                {'type': 'OptimWrapper', 'optimizer': SGD},
                **options,
            )

        return build

    def load(self, runner, path, strict):
        guard_loading(runner, strict)
        told = Told()
        runner.logger.addHandler(told)
        runner.load_checkpoint(str(path))
        return told.lines

    def test_what_fits_nowhere_is_refused(self, runner, tmp_path):
        built = runner()
        names = {'some.other.weight': torch.zeros(3)}
        own = built.model.state_dict()
        unlike = {name: value[None] for name, value in own.items() if name.endswith('weight')}
        trivial = {key: value for key, value in own.items() if 'num_batches' in key}
        for number, weights in enumerate((names, unlike, trivial, {}), 1):
            torch.save({'state_dict': weights}, tmp_path / f'{number}.pth')
            with pytest.raises(ValueError, match=rf'{number}\.pth: none of its .* fits the model'):
                self.load(runner(), tmp_path / f'{number}.pth', strict=False)

    def test_what_fits_in_part_is_told(self, runner, tmp_path):
        weights = runner().model.state_dict()
        (name, *_) = [key for key in weights if key.endswith('conv.weight')]
        torch.save(
            {'state_dict': {f'module.{name}': weights[name], 'x': weights[name]}},
            tmp_path / 'a.pth',
        )
        told = self.load(runner(), tmp_path / 'a.pth', strict=False)
        assert '1 of the' in told[0]
        assert 'keep their random or pretrained values' in told[0]
        assert '1 of the file have no place: x' in told[1]

    def test_what_fits_is_not_told_of(self, runner, tmp_path):
        built = runner()
        torch.save({'state_dict': built.model.state_dict()}, tmp_path / 'a.pth')
        for strict in (True, False):
            assert self.load(runner(), tmp_path / 'a.pth', strict) == []

    @pytest.mark.parametrize('strict', [True, False])
    def test_weights_that_are_no_numbers_are_refused(self, runner, tmp_path, strict):
        weights = runner().model.state_dict()
        name = next(key for key in weights if key.endswith('conv.weight'))
        weights[name].view(-1)[0] = torch.nan
        torch.save({'state_dict': weights}, tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=rf'a\.pth holds weights .* the first is {name}'):
            self.load(runner(), tmp_path / 'a.pth', strict)

    def test_strictly_all_must_fit(self, runner, tmp_path):
        torch.save({'state_dict': {'x': torch.ones(1)}}, tmp_path / 'a.pth')
        with pytest.raises(ValueError, match=r'a\.pth does not fit the model'):
            self.load(runner(), tmp_path / 'a.pth', strict=True)

    def test_weights_alone_are_not_resumed_from(self, runner, tmp_path):
        built = runner(
            load_from=str(tmp_path / 'best.pth'), resume=True, param_scheduler=[{**POLY, 'end': 2}]
        )
        content = {'state_dict': built.model.state_dict(), 'meta': {}, 'message_hub': {}}
        torch.save(content, tmp_path / 'best.pth')
        guard_loading(built, strict=True)
        with pytest.raises(ValueError, match=r'best\.pth has no optimizer, param_schedulers'):
            built.train()


def test_messages_of_a_misfit_are_cut():
    with pytest.raises(ValueError, match=r'a\.pth does not fit') as caught, misfit_named('a.pth'):
        raise RuntimeError('\n'.join(['x ' * 400] * 20))
    assert len(str(caught.value)) < 2000
