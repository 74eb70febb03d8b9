"""Kinds of networks of paths: which steps they plan, what they refuse, what a row says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mmbmtas import launch
from mmbmtas.comparison.harness import Harness
from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.networks import network_cost, path_costs
from mmbmtas.comparison.report import write_report
from mmbmtas.comparison.results import Row, read_rows, set_decathlon_scores, write_rows
from mmbmtas.comparison.spec import read_comparison
from mmbmtas.errors import InputError
from mmbmtas.launch.path_config import read_path_config
from mmbmtas.structures import is_zero

ROOT = Path(__file__).parents[2]
SEARCH, TRAINING = (str(ROOT / f'configs/mpnas/{kind}_pocket.py') for kind in ('search', 'paths'))
TASKS = ['digits', 'faces', 'textures', 'glyphs']


@pytest.fixture(scope='module')
def harness(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pocket')
    comparison = read_comparison(str(ROOT / 'configs/compare/pocket.py'), {'seeds': [3]})
    return Harness(comparison, folder, folder / 'work', ROOT / 'tools')


@pytest.fixture(scope='module')
def config():
    return read_path_config(SEARCH)


def words_of(run, place=-1):
    return [str(word) for word in run.trainings[place].command()]


class TestSteps:
    def test_each_kind_searches_as_often_as_it_should(self, harness):
        runs = {run.model.name: run for run in harness.plan()}
        searches = {
            name: [t.step.kind for n in run.networks if (t := n.tree) and t.step]
            for name, run in runs.items()
        }
        assert searches == {
            'independent': ['search'] * 4,
            'single_path': ['tree'],
            'multi_head': ['search'],
            'random_paths': ['tree'],
            'paths': ['search'],
            'paths_no_abdp': ['search'],
            'paths_shared_statistics': ['search'],
            'single_path_abdp': ['tree'],
            'largest_path': ['tree'],
        }
        assert runs['paths_shared_statistics'].networks[0].tree.name == 'paths_seed3'

    def test_independent_networks_have_their_share_of_a_batch(self, harness):
        (run,) = (run for run in harness.plan() if run.model.kind == 'independent')
        assert [n.options['tasks'] for n in run.networks] == [[task] for task in TASKS]
        assert {n.options['total_batch_size'] for n in run.networks} == {128 // 4}

    def test_seeds_and_options_reach_the_command_lines(self, harness):
        runs = {run.model.name: run for run in harness.plan()}
        assert 'model.loss_balancing=None' in words_of(runs['paths_no_abdp'])
        assert 'model.backbone.norm_statistics=shared' in words_of(runs['paths_shared_statistics'])
        assert 'randomness.seed=3' in words_of(runs['random_paths'])
        search = [str(w) for w in runs['multi_head'].networks[0].tree.step.command()]
        assert {'model.backbone.policy.type=CommonPolicy', 'randomness.seed=3'} <= {*search}

    def test_trees_and_paths_are_not_compared(self, tmp_path):
        for kind, config in (('paths', 'branched_scenes.py'), ('shared', 'mpnas/paths_pocket.py')):
            file = tmp_path / f'{kind}.py'
            file.write_text(
                f'branched = {str(ROOT / "configs" / config)!r}\nsearch = {SEARCH!r}\n'
                f'models = dict(one=dict(kind={kind!r}))\n'
            )
            with pytest.raises(InputError, match=rf"one: kind '{kind}', but .*{config} trains"):
                Harness(read_comparison(str(file)), tmp_path, tmp_path / 'work', ROOT / 'tools')


class TestChosenPaths:
    def test_the_single_path_is_one_of_middle_cost_or_the_largest(self, config):
        costs = config.encoder.measure_candidates((32, 32))
        for choice, place in (('middle', 3), ('largest', 7)):  # of eight
            paths = config.single(choice)
            assert len({*paths.routing.values()}) == 1
            for layer, candidate in enumerate(paths.routing['digits']):
                own = costs[layer][candidate].madds
                assert sorted(cost.madds for cost in costs[layer])[place] == own

    def test_a_path_of_another_kind_is_refused(self, tmp_path):
        (tmp_path / 'spec.py').write_text(
            f'branched = {TRAINING!r}\nsearch = {SEARCH!r}\n'
            "models = dict(one=dict(kind='single_path', path='small'))\n"
        )
        with pytest.raises(InputError, match=r"one: path 'small', expected 'middle' or 'largest'"):
            read_comparison(str(tmp_path / 'spec.py'))

    def test_a_frozen_path_does_not_learn(self, tmp_path, toys):
        file = tmp_path / 'spec.py'
        file.write_text(
            f'branched = {TRAINING!r}\nsearch = {SEARCH!r}\nseeds = [0]\n'
            "models = dict(one=dict(kind='single_path', frozen=True), two=dict(kind='single_path'))"
        )
        harness = Harness(read_comparison(str(file)), tmp_path, tmp_path / 'work', ROOT / 'tools')
        frozen, trained = harness.plan()
        words = {*words_of(frozen)} - {*words_of(trained)}
        name = 'optim_wrapper.paramwise_cfg.custom_keys.backbone'
        assert {f'{name}.lr_mult=0.0', f'{name}.decay_mult=0.0'} <= words
        cfg = launch.read_config(TRAINING, frozen.networks[0].options)
        model = toys.build(toys.path_config(['digits', 'faces']))
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        loss, _ = model.parse_losses(model.loss(*toys.domain_batch({'digits': ['digits']})))
        wrapper.update_params(loss)
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved
        assert all(name.startswith('decode_heads.digits.') for name in moved)

    def test_frozen_is_yes_or_no(self, tmp_path):
        (tmp_path / 'spec.py').write_text(
            f'branched = {TRAINING!r}\nsearch = {SEARCH!r}\n'
            "models = dict(one=dict(kind='single_path', frozen=1))\n"
        )
        with pytest.raises(InputError, match='one: frozen 1, expected True or False'):
            read_comparison(str(tmp_path / 'spec.py'))

    def test_random_paths_take_each_candidate_as_often(self, config):
        drawn = [config.random(seed) for seed in range(60)]
        assert drawn[0] == config.random(0)
        assert drawn[0] != drawn[1]
        for layer in (0, 1):
            number = len(drawn[0].candidates[layer])
            taken = [paths.routing[d][layer] for paths in drawn for d in paths.domains]
            counts = np.bincount(taken, minlength=number)
            expected = len(taken) / number
            assert (abs(counts - expected) < 4 * np.sqrt(expected)).all()

    def test_random_paths_may_leave_layers_out(self):
        config = read_path_config(str(ROOT / 'configs/mpnas/search_decathlon.py'))
        paths = config.random(0)
        chosen = [
            paths.candidates[layer][candidate]
            for routing in paths.routing.values()
            for layer, candidate in enumerate(routing)
        ]
        assert any(map(is_zero, chosen))


def test_costs_of_a_network(config, tmp_path):
    """One path for all: its nodes are there once, and run for each domain's image."""
    config.single().save(tmp_path / 'paths.json')
    cost = network_cost(TRAINING, {}, tmp_path / 'paths.json')
    paths = path_costs(TRAINING, {}, tmp_path / 'paths.json')
    assert cost.madds == paths.sum == sum(paths.per_domain)
    assert paths.prefix == paths.union < paths.sum
    config.single().for_tasks(['digits']).save(tmp_path / 'one.json')
    alone = network_cost(TRAINING, {'tasks': ['digits']}, tmp_path / 'one.json')
    assert alone.madds == paths.per_domain[0]


def rows():
    found = []
    for model, values in {
        'independent': (60, 80),
        'single_path': (40, 60),
        'paths': (70, 90),
    }.items():
        found.append(
            Row(
                f'{model}_seed0',
                model,
                model,
                0,
                metrics={'a/top1': values[0], 'b/top1': values[1]},
                numbers={'madds': 2e6, 'params': 1e6, 'madds_union': 1e6, 'top1': sum(values) / 2},
            )
        )
    return found


def test_decathlon_scores_are_measured_by_the_independent_networks():
    found = rows()
    set_decathlon_scores(found, 'independent')
    scores = [row.numbers['decathlon_score'] for row in found]
    # Greatest errors are 80 and 40: 1000 (20 / 80)^2 + 0, and 1000 (50 / 80)^2 + 1000 (30 / 40)^2.
    assert scores == pytest.approx([500, 62.5, 390.625 + 562.5])


def test_rows_and_report_have_what_is_said_of_paths(tmp_path):
    found = rows()
    set_decathlon_scores(found, 'independent')
    write_rows(found, ['a/top1', 'b/top1'], tmp_path / 'results.csv')
    again = read_rows(tmp_path / 'results.csv')
    assert [row.numbers for row in again] == [row.numbers for row in found]
    write_report(tmp_path, 'title', 'command', again, [row.model for row in found], [])
    text = (tmp_path / 'report.md').read_text()
    assert '## Domains' in text
    line = next(line for line in text.splitlines() if line.startswith('| paths'))
    assert '80.00' in text
    assert '953' in text, line


def test_every_kind_says_what_its_networks_are():
    paths = {name for name, kind in KINDS.items() if kind.of_paths}
    assert paths == {'independent', 'single_path', 'multi_head', 'random_paths', 'paths'}
