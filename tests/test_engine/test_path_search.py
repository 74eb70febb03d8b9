"""A small search of paths: what it samples, trains, measures and keeps, and how it goes on."""

import json
import math

import pytest
import torch
from mmengine.hooks import Hook

from mmbmtas.cost import path_costs
from mmbmtas.engine.controllers import Baseline, Reward
from mmbmtas.engine.randomness import Stream, generator_of
from mmbmtas.engine.runner import PathSearchLoop
from mmbmtas.errors import DivergenceError, InputError
from mmbmtas.structures import PathArchitecture

DOMAINS = ('digits', 'faces')


class Watcher(Hook):
    """Keeps what each iteration did."""

    priority = 'LOWEST'

    def __init__(self):
        self.logs, self.calls, self.policies, self.rates, self.steps = [], [], [], [], []

    def before_train(self, runner):
        model = runner.train_loop.model
        forward, quality = model.forward, model.quality

        def watched(inputs, data_samples=None, mode='tensor', paths=None, averaging=0.0):
            self.calls.append(('loss', [s.domain for s in data_samples], paths, averaging))
            return forward(inputs, data_samples, mode, paths, averaging)

        def judged(inputs, data_samples, paths):
            self.calls.append(('quality', [s.domain for s in data_samples], paths, None))
            return quality(inputs, data_samples, paths)

        model.forward, model.quality = watched, judged
        runner.optim_wrapper['weights'].optimizer.register_step_post_hook(
            lambda *_: self.steps.append(runner.iter)
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logs.append({name: float(value) for name, value in outputs.items()})
        policy = runner.train_loop.model.policy
        self.policies.append([p.detach().clone() for p in policy.parameters()])
        self.rates.append(runner.optim_wrapper['arch_params'].optimizer.param_groups[0]['lr'])


@pytest.fixture(scope='module')
def searched(path_runner, tmp_path_factory):
    """A search that was watched."""
    watcher, folder = Watcher(), tmp_path_factory.mktemp('search')
    runner = path_runner(folder, [watcher], {'target_madds': 800_000})
    runner.train()
    return runner, watcher, folder


def test_an_iteration_is_one_step_and_one_judgement_of_the_same_paths(searched):
    runner, watcher, _ = searched
    assert [call[0] for call in watcher.calls] == ['loss', 'quality'] * 8
    assert watcher.steps == [*range(8)]
    for iteration, (trained, judged) in enumerate(
        zip(watcher.calls[::2], watcher.calls[1::2], strict=True)
    ):
        assert trained[1] == [*DOMAINS] * 2
        assert judged[1] == [*DOMAINS] * 4  # twice as large
        assert trained[2] == judged[2]
        assert trained[3] == pytest.approx(max(0, 1 - iteration / 2))
    model = runner.train_loop.model
    fresh = type(model.policy)(model.policy.candidates, DOMAINS)  # does not learn in the warm-up
    generator = generator_of(0, Stream.PATHS, 1, 0)
    assert watcher.calls[2][2] == {domain: fresh.sample(domain, generator) for domain in DOMAINS}


def test_the_policies_learn_after_the_warm_up_at_a_growing_rate(searched):
    _, watcher, _ = searched
    assert watcher.rates == pytest.approx(
        [0, 0, *(0.05 * 10 ** (t / 6) for t in range(6))], rel=1e-12
    )
    moved = [any(map(torch.Tensor.any, state)) for state in watcher.policies]
    assert not any(moved[:2])
    assert moved[-1]


def test_rewards_and_baselines_are_those_of_qualities_and_costs(searched):
    runner, watcher, _ = searched
    loop, reward = runner.train_loop, Reward('abs', -0.1)
    cost, baselines = loop.model.network_cost, {domain: Baseline() for domain in DOMAINS}
    for log, (_, _, paths, _) in zip(watcher.logs, watcher.calls[1::2], strict=True):
        rewards = []
        for domain in DOMAINS:
            nodes = path_costs([paths[domain]], loop.model.candidate_costs).sum
            ratio = (nodes + cost.fixed_of(domain).madds) / 800_000
            rewards.append(reward(log[f'{domain}.quality'], ratio))
            baselines[domain].update(rewards[-1])
        assert log['reward'] == pytest.approx(sum(rewards) / 2, abs=1e-9)
    states = runner.message_hub.runtime_info['search_baselines']
    for domain, baseline in baselines.items():
        assert states[domain] == pytest.approx([baseline.total, baseline.weight], abs=1e-9)


def test_the_last_step_is_that_of_reinforce(path_runner, tmp_path):
    """Adam without momentum moves each logit by the rate, against the sign of its gradient."""
    watcher = Watcher()
    runner = path_runner(tmp_path, [watcher], {'weight_iters': 2, 'warmup_share': 0})
    runner.train()
    policy, loop = runner.train_loop.model.policy, runner.train_loop
    fresh = type(policy)(policy.candidates, DOMAINS)
    paths = watcher.calls[3][2]
    qualities = [{domain: log[f'{domain}.quality'] for domain in DOMAINS} for log in watcher.logs]
    assert not any(map(torch.Tensor.any, watcher.policies[0]))  # the first advantage is 0
    loss = 0
    for domain in DOMAINS:
        baseline = Baseline()
        first, second = (quality[domain] for quality in qualities)
        baseline.update(first)
        loss = loss - (second - baseline.update(second)) * fresh.log_prob(domain, paths[domain])
    gradients = torch.autograd.grad(loss, [*fresh.parameters()])
    assert any(map(torch.Tensor.any, gradients))
    for gradient, after in zip(gradients, watcher.policies[1], strict=True):
        assert torch.equal(after.sign(), -gradient.sign())
    assert loop.iter == 2


def test_without_a_target_cost_plays_no_part(path_runner, tmp_path):
    watcher = Watcher()
    runner = path_runner(tmp_path, [watcher], {'weight_iters': 3, 'warmup_share': 0})
    runner.train()
    for log in watcher.logs:
        assert log['reward'] == pytest.approx(
            sum(log[f'{domain}.quality'] for domain in DOMAINS) / 2, abs=1e-9
        )
    assert runner.train_loop.describe_miss(runner.train_loop.export_architecture()) is None


def test_files_hold_the_likeliest_paths_within_the_budget_and_their_costs(searched):
    runner, _, folder = searched
    model = runner.train_loop.model
    paths = PathArchitecture.load(folder / 'architecture.json')
    assert paths.domains == DOMAINS
    assert paths.routing == runner.train_loop.budget.likeliest(model.policy)
    ratios = [cost / 800_000 for cost in paths.madds['per_domain']]
    assert ratios == pytest.approx([1, 1], abs=0.05)
    assert paths.source['iteration'] == 8
    assert {'per_domain', 'sum', 'union', 'prefix', 'params'} < paths.madds.keys()
    assert (folder / 'architectures' / 'iter_5.json').is_file()
    scalars = [json.loads(line) for file in folder.rglob('scalars.json') for line in file.open()]
    logged = {name for line in scalars for name in line}
    assert {'entropy', 'expected_gmadds', 'argmax_mparams', 'reward', 'digits.quality'} <= logged
    assert {'arch/layer00/digits/candidate0', 'arch/layer04/faces/candidate7'} <= logged


def test_images_of_each_domain_are_split(searched):
    loop = searched[0].train_loop
    splits = [{*loader.dataset.indices} for loader in (loop.dataloader, loop.arch_dataloader)]
    assert splits[0] | splits[1] == {*range(48)}
    assert not splits[0] & splits[1]
    for split, count in zip(splits, (16, 8), strict=True):
        assert [sum(index // 24 == d for index in split) for d in range(2)] == [count, count]


def test_a_target_of_half_the_union_is_approached(path_runner, tmp_path):
    """With half the union of an untargeted search as target, the union is within 10 % (M12)."""

    def search(folder, iters=20, **loop):
        options = {'weight_iters': iters, 'warmup_share': 0.1, 'val_batch_factor': 1, **loop}
        runner = path_runner(tmp_path / folder, (), options)
        runner.train()
        paths = PathArchitecture.load(tmp_path / folder / 'architecture.json')
        return paths, runner.train_loop

    free, loop = search('free')
    assert free == loop.model.export_architecture()  # the most probable, as without a target
    target = free.madds['params'] / 2
    found, loop = search('target', target_union_params=target)
    assert found.madds['params'] == pytest.approx(target, rel=0.1)
    probable = loop.model.export_architecture()
    assert probable.madds['params'] != pytest.approx(target, rel=0.1)
    changed = sum(
        ours != theirs
        for domain in DOMAINS
        for ours, theirs in zip(found.routing[domain], probable.routing[domain], strict=True)
    )
    assert found.source['choices_changed_for_budget'] == changed
    assert f'; changed {changed} of 10 choices to meet' in loop.describe_cost(found)
    assert loop.describe_miss(found) is None
    assert '% above' in loop.describe_miss(probable)
    held, loop = search('held', 60, target_union_params=target, cost='expected', beta=-1.0)
    assert held.madds['params'] == pytest.approx(target, rel=0.1)
    expected = loop.measured(held)['expected_mparams'] * 1e6
    assert expected == pytest.approx(target, rel=0.15)


def test_the_most_probable_paths_can_be_exported_whatever_they_cost(path_runner, tmp_path):
    loop = path_runner(
        tmp_path, loop={'target_madds': 700_000, 'exported': 'most_probable'}
    ).train_loop
    assert loop.export_architecture() == loop.model.export_architecture()
    loop.exported = 'within_budget'
    assert loop.export_architecture() != loop.model.export_architecture()


def test_one_miss_of_a_target_for_all_is_told_once(path_runner, tmp_path):
    free = path_runner(tmp_path / 'free').train_loop
    paths = free.model.export_architecture()
    loop = path_runner(
        tmp_path / 'held', loop={'target_union_params': paths.madds['params'] / 0.75}
    ).train_loop
    assert 'miss the budget: all domains together 25.0% below. What' in loop.describe_miss(paths)
    assert free.describe_miss(paths) is None


class Broken(Hook):
    def before_train(self, runner):
        runner.train_loop.model.quality = lambda *_: {'digits': math.nan, 'faces': 0.5}


def test_a_quality_that_is_not_finite_ends_the_search(path_runner, tmp_path):
    with pytest.raises(DivergenceError, match=r'iteration 1 of 8 .*quality .* of digits is not'):
        path_runner(tmp_path, [Broken()]).train()


@pytest.mark.parametrize(
    ('loop', 'message'),
    [
        ({'reward': 'best'}, 'train_cfg.reward'),
        ({'reward': 'mnas'}, "train_cfg.reward 'mnas' weighs costs, but there is no target"),
        ({'beta': -0.2}, r'train_cfg.beta -0\.2 weighs costs'),
        ({'cost': 'expected'}, 'train_cfg.cost .* no target'),
        ({'cost': 'mean'}, "train_cfg.cost 'mean': expected one of"),
        ({'target_madds': 10}, 'target_madds of digits 10 is out of reach: expected'),
        ({'target_madds': {'digits': 800_000}}, r"the domains \['digits'\], expected"),
        ({'target_union_params': 1e12}, 'target_union_params .* is out of reach'),
        ({'target_madds': 800_000, 'target_union_params': 2e4}, 'expected one of them'),
        (
            {'target_madds': 800_000, 'cost': 'expected', 'reward': 'mnas'},
            "with cost='expected', where the reward is the quality alone",
        ),
        ({'exported': 'best'}, "train_cfg.exported 'best': expected one of"),
        ({'exported': 'most_probable'}, 'train_cfg.exported .* no target'),
        ({'at_most': True}, 'train_cfg.at_most=True needs a limit'),
        ({'at_most': 'yes', 'target_madds': 800_000}, "train_cfg.at_most 'yes': expected True or"),
        ({'val_batch_factor': 0}, 'train_cfg.val_batch_factor 0'),
        ({'weight_iters': 0}, 'train_cfg.weight_iters 0'),
        ({'warmup_share': 1}, 'train_cfg.warmup_share 1'),
        ({'arch_fraction': 1.5}, r'arch_fraction 1\.5'),
    ],
)
def test_refuses_settings_that_mean_nothing(searched, loop, message):
    runner, *_ = searched
    loader = {'dataset': runner.train_loop.dataset, 'batch_size': 4}
    options = {'weight_iters': 8, 'arch_fraction': 0.34, **loop}
    with pytest.raises(InputError, match=message):
        PathSearchLoop(runner, {**loader, 'sampler': {'type': 'DomainSampler'}}, **options)


def test_refuses_a_sampler_that_does_not_know_domains(searched):
    runner, *_ = searched
    loader = {'dataset': runner.train_loop.dataset, 'batch_size': 4}
    with pytest.raises(InputError, match=r"InfiniteSampler, .* dict\(type='DomainSampler'\)"):
        PathSearchLoop(runner, {**loader, 'sampler': {'type': 'InfiniteSampler'}}, 8)


def test_refuses_images_of_other_domains(path_runner, tmp_path, toys):
    model = toys.path_search_config(['digits', 'birds'])
    with pytest.raises(InputError, match=r"\['digits', 'faces'\], the model is for .*birds"):
        path_runner(tmp_path, model=model).train()


def test_refuses_another_network(path_runner, tmp_path, toys):
    model = toys.path_config(['digits', 'faces'])
    with pytest.raises((InputError, AttributeError), match=r'architecture_parameters|PathSearch'):
        path_runner(tmp_path, model=model).train()


def test_hooks_of_phases_are_refused(path_runner, tmp_path):
    with pytest.raises(
        InputError, match=r'TemperatureHook works only with .*, found PathSearchLoop'
    ):
        path_runner(tmp_path, [{'type': 'TemperatureHook'}]).train()
