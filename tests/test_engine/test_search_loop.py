"""A small search, watched from the inside: phases, optimisers, statistics, files, resuming."""

import copy
import json
import math
from pathlib import Path

import mmcv
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.cost import expected_madds
from mmbmtas.engine.hooks import TemperatureHook
from mmbmtas.engine.hooks.architecture_hooks import routing_entropy
from mmbmtas.engine.randomness import Stream
from mmbmtas.engine.runner import split_dataset
from mmbmtas.errors import InputError
from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.models.backbones import forms
from mmbmtas.structures import BranchedArchitecture

PHASES = ['warmup'] * 2 + (['arch'] * 2 + ['weights'] * 3) * 2
TASKS = ('semseg', 'normals', 'edge')


def statistics(module):
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    return torch.cat([torch.cat([m.running_mean, m.running_var]) for m in norms]).clone()


def parts_of(model):
    return {
        'layers': model.backbone.layers,
        'stem': model.backbone.stem,
        'decoders': model.decode_heads,
    }


class Watcher(Hook):
    """Keeps what the model and the optimisers look like around each iteration."""

    priority = 'LOWEST'

    def __init__(self, stop_at=None):
        self.entries, self.steps, self.stop_at = [], {'weights': 0, 'arch_params': 0}, stop_at

    def before_train(self, runner):
        for name in self.steps:
            runner.optim_wrapper[name].optimizer.register_step_post_hook(
                lambda *_, name=name: self.steps.update({name: self.steps[name] + 1})
            )

    def look(self, runner):
        model = runner.train_loop.model
        return {
            'weights': torch.cat([p.detach().flatten() for p in model.backbone.weights()]),
            'decoders': torch.cat([p.detach().flatten() for p in model.decode_heads.parameters()]),
            'arch_params': model.backbone.arch_params.detach().clone(),
            'statistics': {name: statistics(part) for name, part in parts_of(model).items()},
        }

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop_at:
            raise KeyboardInterrupt
        model, loop = runner.train_loop.model, runner.train_loop
        self.steps = dict.fromkeys(self.steps, 0)
        self.entries.append(
            {
                'position': loop.position,
                'mode': model.backbone.routing_mode,
                'tau': model.backbone.tau,
                'ids': [sample.img_id for sample in data_batch['data_samples']],
                'lr': {name: rates[0] for name, rates in runner.optim_wrapper.get_lr().items()},
                'states': {
                    name: len(runner.optim_wrapper[name].optimizer.state) for name in self.steps
                },
                'grads': {
                    'weights': {p.requires_grad for p in model.backbone.weights()},
                    'decoders': {p.requires_grad for p in model.decode_heads.parameters()},
                    'arch_params': {model.backbone.arch_params.requires_grad},
                },
                'tracks': {
                    name: {
                        m.track_running_stats for m in part.modules() if isinstance(m, _BatchNorm)
                    }
                    for name, part in parts_of(model).items()
                },
                'before': self.look(runner),
            }
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.entries[-1] |= {'after': self.look(runner), 'steps': self.steps, 'outputs': outputs}


@pytest.fixture(scope='module')
def search(search_runner, tmp_path_factory):
    """A finished search: its runner and what the watcher saw."""
    watcher = Watcher()
    runner = search_runner(tmp_path_factory.mktemp('search'), [watcher])
    runner.train()
    return runner, watcher.entries


@pytest.fixture(scope='module')
def entries(search):
    return search[1]


def of(entries, *phases):
    found = [entry for entry in entries if entry['position'].phase in phases]
    assert found
    return found


def test_phases_in_order(entries):
    assert [entry['position'].phase for entry in entries] == PHASES


def test_temperature(entries):
    taus = [entry['tau'] for entry in entries]
    assert taus[:3] == [5.0] * 3
    assert taus[2:] == pytest.approx([5 - 4.9 * i / 9 for i in range(10)])
    assert taus[-1] == pytest.approx(0.1)


def test_routing(entries):
    assert {e['mode'] for e in of(entries, 'warmup')} == {'warmup'}
    assert {e['mode'] for e in of(entries, 'arch', 'weights')} == {'relaxed'}


def test_only_the_parameters_of_the_phase_want_gradients(entries):
    for entry in entries:
        arch = entry['position'].phase == 'arch'
        assert entry['grads'] == {
            'weights': {not arch},
            'decoders': {not arch},
            'arch_params': {arch},
        }


def test_weights_rest_in_architecture_phases(entries):
    for entry in of(entries, 'arch'):
        for name in ('weights', 'decoders'):
            assert torch.equal(entry['before'][name], entry['after'][name])
        assert not torch.equal(entry['before']['arch_params'], entry['after']['arch_params'])
        assert entry['steps'] == {'weights': 0, 'arch_params': 1}


def test_architecture_rests_in_weight_phases(entries):
    for entry in of(entries, 'warmup', 'weights'):
        for name in ('weights', 'decoders'):
            assert not torch.equal(entry['before'][name], entry['after'][name])
        assert torch.equal(entry['before']['arch_params'], entry['after']['arch_params'])
        assert entry['steps'] == {'weights': len(TASKS), 'arch_params': 0}


def test_an_optimiser_forgets_where_its_phase_begins(entries):
    for entry in entries:
        phase, index = entry['position'].phase, entry['position'].index
        name = 'arch_params' if phase == 'arch' else 'weights'
        assert (entry['states'][name] == 0) == (index == 0)


def test_encoder_layers_use_no_running_statistics_in_architecture_phases(entries):
    for entry in entries:
        arch = entry['position'].phase == 'arch'
        assert entry['tracks'] == {'layers': {not arch}, 'stem': {True}, 'decoders': {True}}
        before, after = (entry[when]['statistics'] for when in ('before', 'after'))
        assert torch.equal(before['layers'], after['layers']) == arch
        assert not torch.equal(before['stem'], after['stem'])
        assert not torch.equal(before['decoders'], after['decoders'])


def test_running_statistics_are_reset_before_the_weights_train_again(search, entries):
    fresh = copy.deepcopy(search[0].train_loop.model.backbone.layers)
    for module in fresh.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
    fresh = statistics(fresh)
    for entry in of(entries, 'weights'):
        reset = torch.equal(entry['before']['statistics']['layers'], fresh)
        assert reset == (entry['position'].index == 0)
    assert not torch.equal(entries[2]['before']['statistics']['layers'], fresh)


def test_learning_rates_follow_the_iterations_of_the_weights(entries):
    done = 0
    for entry in entries:
        assert entry['lr']['weights.lr'] == pytest.approx(0.005 * (1 - done / 8) ** 0.9)
        assert entry['lr']['arch_params.lr'] == 0.01
        done += entry['position'].phase != 'arch'


def test_each_phase_sees_its_split_once_a_pass(entries):
    arch, weights = of(entries, 'arch'), of(entries, 'weights')
    passes = [[i for e in part for i in e['ids']] for part in (arch[:2], arch[2:])]
    assert sorted(passes[0]) == sorted(passes[1])
    assert passes[0] != passes[1]  # shuffled anew
    others = [[i for e in part for i in e['ids']] for part in (weights[:3], weights[3:])]
    assert sorted(others[0]) == sorted(others[1])
    assert sorted(passes[0] + others[0]) == [*range(10)]
    warmup = [i for e in of(entries, 'warmup') for i in e['ids']]
    assert set(warmup) < set(others[0])


def test_splits_draw_different_numbers(search):
    loop = search[0].train_loop
    streams = [loader.dataset.stream for loader in (loop.dataloader, loop.arch_dataloader)]
    assert streams == [Stream.SAMPLES, Stream.ARCH_SAMPLES]


def test_losses_of_all_tasks_are_logged(entries):
    for entry in entries:
        arch = entry['position'].phase == 'arch'
        names = {'semseg.loss_ce', 'normals.loss_l1', 'edge.loss_bce', 'loss'}
        assert set(entry['outputs']) == (names | {'loss_resource'} if arch else names)
        parts = [value.item() for name, value in entry['outputs'].items() if name != 'loss']
        assert entry['outputs']['loss'].item() == pytest.approx(sum(parts))


def test_every_checkpoint_has_its_tree(search):
    runner, entries = search
    folder = Path(runner.work_dir)
    assert sorted(path.name for path in folder.glob('architectures/*')) == [
        'iter_10.json',
        'iter_12.json',
        'iter_5.json',
    ]
    for iteration in (5, 10, 12):
        written = BranchedArchitecture.load(folder / 'architectures' / f'iter_{iteration}.json')
        arch_params = entries[iteration - 1]['after']['arch_params']
        assert written == BranchedArchitecture.from_arch_params(
            arch_params, tasks=TASKS, encoder=written.encoder
        )
        exported = architecture_of_checkpoint(folder / f'iter_{iteration}.pth')
        assert exported == written
        assert exported.routing == written.routing
        assert exported.madds == written.madds
        assert exported.layers == written.layers
        assert written.source['iteration'] == iteration
    last = BranchedArchitecture.load(folder / 'architecture.json')
    assert last.to_dict() == written.to_dict()
    assert last == runner.train_loop.model.backbone.export_architecture()
    assert last.madds['network'] > sum(last.madds['layers'])
    assert not [*folder.rglob('*.tmp')]


def test_a_missed_budget_stands_in_the_file(search, search_runner, toys, tmp_path):
    """A search of a few iterations does not come down to the cheapest tree."""
    target = search[0].train_loop.model.network_cost.shared().madds
    runner = search_runner(
        tmp_path, model=toys.search_config(TASKS, weight=1.0, target_madds=target)
    )
    runner.train()
    tree = BranchedArchitecture.load(tmp_path / 'architecture.json')
    excess = tree.madds['network'] / target - 1
    assert f'its cost is {excess:.1%} above target_madds' in tree.source['budget_missed']
    unlimited = BranchedArchitecture.load(Path(search[0].work_dir) / 'architecture.json')
    assert 'budget_missed' not in unlimited.source


def test_exported_trees_build_networks(search, toys):
    tree = BranchedArchitecture.load(Path(search[0].work_dir) / 'architecture.json')
    model = toys.build(toys.branched_config(TASKS, tree=tree))
    cost = model.measure_cost().tree(tree)
    assert cost.madds == tree.madds['network']


def test_architecture_is_logged(search):
    runner = search[0]
    (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    scalars = {key: value for line in lines for key, value in line.items()}
    model = runner.train_loop.model
    probs = model.backbone.routing_probs().detach()
    expected = expected_madds(probs, model.network_cost.layer_madds) + model.fixed_cost.madds
    tree = BranchedArchitecture.load(Path(runner.work_dir) / 'architecture.json')
    assert scalars['expected_gmadds'] == pytest.approx(float(expected) / 1e9)
    assert scalars['argmax_gmadds'] == pytest.approx(tree.madds['network'] / 1e9)
    assert scalars['entropy'] == pytest.approx(float(routing_entropy(probs)), rel=1e-4)
    assert scalars['tau'] == pytest.approx(0.1)
    for layer, task, candidate in ((0, 'semseg', 0), (17, 'edge', 2)):
        found = scalars[f'arch/layer{layer:02d}/{task}/candidate{candidate}']
        assert found == pytest.approx(float(probs[layer, TASKS.index(task), candidate]))


def test_the_architecture_is_logged_as_often_as_all_else(search_runner, tmp_path):
    runner = search_runner(tmp_path, [{'type': 'ArchitectureLoggerHook'}])
    hook = [h for h in runner.hooks if type(h).__name__ == 'ArchitectureLoggerHook'][-1]
    hook.before_train(runner)
    assert hook._every == 4  # the logger's


@pytest.mark.parametrize('share', [None, 0.9, 1.02])
def test_the_end_of_a_search_is_logged(search, monkeypatch, share):
    runner = search[0]
    folder = Path(runner.work_dir)
    tree = BranchedArchitecture.load(folder / 'architecture.json')
    target = None if share is None else share * tree.madds['network']
    monkeypatch.setattr(runner.train_loop.model.resource_loss, 'target_madds', target)
    messages, warnings = [], []
    monkeypatch.setattr(runner.logger, 'info', messages.append)
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    for hook in runner.hooks:
        if type(hook).__name__.startswith('Architecture'):
            hook.after_train(runner)
    (end,) = [line for line in messages if 'At the end of the search' in line]
    assert f'argmax_gmadds {tree.madds["network"] / 1e9:.4g}' in end
    assert len(warnings) == (share == 0.9)
    assert not warnings or '11.1% above target_madds=' in warnings[0]


def test_trees_are_drawn_for_the_backends(search):
    folder = Path(search[0].work_dir)
    for iteration in (5, 10, 12):
        (picture,) = folder.rglob(f'architecture_{iteration}.png')
        assert mmcv.imread(picture).std() > 10


def test_entropy():
    assert routing_entropy(torch.full((4, 3, 3), 1 / 3)) == pytest.approx(1)
    assert routing_entropy(torch.eye(3).expand(4, 3, 3)) == 0
    assert routing_entropy(torch.ones(4, 1, 1)) == 0
    half = torch.tensor([0.5, 0.5, 0, 0]).expand(4, 4, 4)
    assert routing_entropy(half) == pytest.approx(math.log(2) / math.log(4))


# amid a pass over the weight split; after one over the architecture's
@pytest.mark.parametrize('stop_at', [6, pytest.param(9, marks=pytest.mark.slow)])
def test_a_search_goes_on_where_it_was_stopped(stop_at, search_runner, entries, tmp_path):
    hook = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': stop_at}
    first = search_runner(tmp_path, [Watcher(stop_at)])
    first.register_hook(hook, priority='VERY_LOW')
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert find_latest_checkpoint(str(tmp_path)).endswith(f'iter_{stop_at}.pth')
    watcher = Watcher()
    second = search_runner(tmp_path, [watcher], resume=True)
    second.train()
    rest, expected = watcher.entries, entries[stop_at:]
    assert second.train_loop.iter == 12
    for key in ('position', 'tau', 'ids', 'lr', 'mode', 'tracks', 'grads', 'states'):
        assert [entry[key] for entry in rest] == [entry[key] for entry in expected], key
    saved = torch.load(tmp_path / f'iter_{stop_at}.pth', weights_only=False)['state_dict']
    arch_params = rest[0]['before']['arch_params']
    assert torch.equal(saved['backbone.arch_params'], arch_params)
    assert (tmp_path / 'architectures' / 'iter_12.json').is_file()


def test_timed_forms_outlive_an_interruption(search_runner, toys, tmp_path, monkeypatch):
    """A resumed search rounds as the one that it goes on with, whatever it would time."""
    model = toys.search_config(TASKS[:2], weight=1.0)
    model['backbone']['forms'] = 'timed'

    def search(name, turn, **options):
        monkeypatch.setattr(forms, 'fastest', lambda calls: [*calls][turn % len(calls)])
        hook = {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 4}
        runner = search_runner(
            tmp_path / name,
            loop={'weight_iters': 3, 'warmup_iters': 0},
            model=model,
            default_hooks={'checkpoint': hook},
            **options,
        )
        runner.train()
        backbone = runner.model.backbone
        assert {*backbone.forms.timed} == {'arch', 'weights'}
        return runner.model.state_dict()

    whole = search('whole', 2)
    resume = {'load_from': str(tmp_path / 'whole/iter_4.pth'), 'resume': True}
    resumed = search('resumed', 0, **resume)
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_a_batch_without_labels_goes_by(search_runner, toys, tmp_path):
    """The weights rest, the architecture still feels the resource loss."""

    class Unlabelled(torch.utils.data.Dataset):
        calls = 0

        def __len__(self):
            return 4

        def __getitem__(self, index):
            self.calls += 1
            # The first batch has two images; then the search looks whether there are labels.
            tasks = TASKS if self.calls == 3 else []
            return {
                'inputs': torch.zeros(3, 32, 32, dtype=torch.uint8),
                'data_samples': toys.sample(tasks, (32, 32), img_id=index),
            }

    watcher = Watcher()
    loop = {'weight_iters': 2, 'warmup_iters': 1, 'arch_fraction': 0.5}
    runner = search_runner(tmp_path, [watcher], loop, dataset=Unlabelled())
    with torch.no_grad():
        runner.model.backbone.arch_params.normal_()
    runner.train()
    assert [e['steps'] for e in watcher.entries] == [
        {'weights': 0, 'arch_params': 0},
        {'weights': 0, 'arch_params': 1},
        {'weights': 0, 'arch_params': 0},
    ]
    assert set(watcher.entries[1]['outputs']) == {'loss_resource', 'loss'}


def test_a_diverged_search_stops(search_runner, tmp_path):
    runner = search_runner(tmp_path)
    with torch.no_grad():
        runner.model.decode_heads['edge'].conv_seg.bias.fill_(math.nan)
    runner._has_loaded = True
    runner.model.init_weights = lambda: None
    with pytest.raises(FloatingPointError, match=r'edge\.loss_bce'):
        runner.train()
    assert not [*tmp_path.glob('*.pth')]


class TestSplit:
    @given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 2**31))
    def test_disjoint_exhaustive_and_seeded(self, count, fraction, seed):
        weights, arch = split_dataset([*range(count)], fraction, seed)
        assert sorted([*weights, *arch]) == [*range(count)]
        assert len(weights) >= 1
        assert abs(len(arch) - fraction * count) <= 0.5 or len(arch) in (1, count - 1)
        again = split_dataset([*range(count)], fraction, seed)
        assert [part.indices for part in again] == [weights.indices, arch.indices]

    def test_other_seeds_split_otherwise(self):
        splits = [split_dataset([*range(50)], 0.2, seed)[1].indices for seed in range(5)]
        assert len({tuple(sorted(split)) for split in splits}) == 5

    def test_the_global_state_stays(self):
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        split_dataset([*range(50)], 0.2, 0)
        assert torch.equal(torch.rand(3), expected)

    @pytest.mark.parametrize('count', [0, 1])
    def test_too_few_images(self, count):
        with pytest.raises(ValueError, match=f'{count} training images cannot be split'):
            split_dataset([*range(count)], 0.2, 0)


@pytest.mark.parametrize('fraction', [0, 1, -0.5, 20])
def test_arch_fraction_is_checked(fraction, search_runner, tmp_path):
    runner = search_runner(tmp_path, loop={'arch_fraction': fraction})
    with pytest.raises(ValueError, match=f'arch_fraction {fraction}: expected a number between'):
        runner.train()


@pytest.mark.parametrize(('fraction', 'split'), [(0.1, 'architecture'), (0.9, 'weight')])
def test_a_split_smaller_than_a_batch_is_refused(search_runner, tmp_path, fraction, split):
    runner = search_runner(tmp_path, loop={'arch_fraction': fraction})
    found = f'the {split} split has 1 of 10 training images, fewer than the 2 of a batch'
    with pytest.raises(ValueError, match=found):
        runner.train()


def test_a_search_that_is_nothing_but_warm_up(search_runner, tmp_path):
    runner = search_runner(tmp_path, loop={'weight_iters': 3, 'warmup_iters': 3})
    with pytest.raises(ValueError, match=r'warmup_iters 3 are all of weight_iters 3, .* nothing'):
        runner.train()


def test_a_batch_size_that_nobody_has_filled_in(search_runner, tmp_path):
    runner = search_runner(tmp_path)
    del runner._train_dataloader['batch_size']
    with pytest.raises(ValueError, match=r'train_dataloader\.batch_size is missing'):
        runner.train()


def test_an_endless_sampler_is_refused(search_runner, tmp_path):
    runner = search_runner(tmp_path, loader={'sampler': {'type': 'InfiniteSampler'}})
    with pytest.raises(ValueError, match=r'sampler is infinite, .* expected .*DefaultSampler'):
        runner.train()


@pytest.mark.parametrize('ends', [(0, 0.1), (5, 0), (-1, -1)])
def test_temperatures_are_positive(ends):
    with pytest.raises(ValueError, match='expected numbers above 0'):
        TemperatureHook(*ends)


def test_checkpointed_layers_change_nothing(search, search_runner, toys, tmp_path):
    """In all phases: parameters, statistics and optimisers are the same, to the bit."""
    model = toys.search_config(TASKS, weight=1.0)
    model['backbone']['with_cp'] = True
    runner = search_runner(tmp_path, model=model)
    runner.train()
    expected, found = search[0].model.state_dict(), runner.model.state_dict()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    states = [one.optim_wrapper.state_dict() for one in (search[0], runner)]
    for name in ('weights', 'arch_params'):
        one, other = (state[name]['state'] for state in states)
        assert one.keys() == other.keys()
        assert all(
            torch.equal(torch.as_tensor(entry), torch.as_tensor(other[key][part]))
            for key, entries in one.items()
            for part, entry in entries.items()
            if entry is not None
        )


@pytest.mark.parametrize(
    'hook', ['TemperatureHook', 'SearchBatchNormHook', 'ArchitectureLoggerHook']
)
def test_hooks_of_a_search_say_that_a_training_is_none(hook, make_runner, toys, tmp_path):
    runner = make_runner(
        tmp_path,
        toys.branched_config(('semseg', 'edge')),
        {'type': 'IterBasedTrainLoop', 'max_iters': 1},
        {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.1}},
        custom_hooks=[{'type': hook} | ({'interval': 1} if 'Logger' in hook else {})],
    )
    with pytest.raises(
        InputError, match=f'{hook} works only with a search loop.*, found IterBasedTrainLoop'
    ):
        runner.train()
