"""A comparison from its file to its rows, with stand-ins for the command lines."""

import copy
import shutil

import pytest
from mmengine.config import Config

from mmbmtas.comparison.checks import list_headlines
from mmbmtas.comparison.harness import Harness
from mmbmtas.comparison.report import read_paper
from mmbmtas.comparison.results import read_rows
from mmbmtas.comparison.spec import read_comparison
from mmbmtas.evaluation import HeadlineMetric, OdsF, SemSegMetric
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.registry import METRICS
from mmbmtas.structures import BranchedArchitecture


def rows_of(harness):
    return {row.run: row for row in read_rows(harness.out / 'results.csv')}


def test_rows_hold_scores_costs_and_trees(compare, config):
    harness, begun = compare(latency=True, seeds=[0, 1])
    rows = rows_of(harness)
    assert [*rows] == [
        f'{name}_seed{seed}{member}'
        for name in ('single', 'shared', 'searched', 'vanilla', 'permutations')
        for seed in (0, 1)
        for member in (('_1', '_2') if name == 'permutations' else ('',))
    ]
    assert all(row.is_done for row in rows.values())
    tree = BranchedArchitecture.load('configs/architectures/scenes.json')
    for name, cost in (
        ('single_seed1', config.cost.single()),
        ('shared_seed0', config.cost.shared()),
        ('searched_seed0', config.cost.tree(tree)),
        ('permutations_seed1_2', config.cost.tree(tree)),
    ):
        numbers = rows[name].numbers
        found = [numbers[key] for key in ('madds', 'madds_paper', 'params')]
        assert found == [cost.madds, cost.madds_paper, cost.params], name
    # 55 + seed against 50: a gain of 10 % for four tasks, a loss for the angle.
    assert rows['shared_seed0'].numbers['delta_m'] == pytest.approx(0.6 * 10)
    assert rows['vanilla_seed1'].numbers['delta_m'] == pytest.approx(0.6 * 12)
    assert rows['single_seed1'].numbers['delta_m'] == 0
    assert rows['searched_seed0'].tree == tree.describe()
    assert rows['single_seed0'].numbers['latency_ms'] == 50
    assert rows['shared_seed0'].latency_place == 'here'
    assert (harness.out / 'trees' / 'permutations_seed1_2.json').is_file()
    assert begun.count('shared/tree') == 1  # serves both seeds
    assert begun[-1] == 'latency'
    assert begun.index('searched_seed1/search') < begun.index('vanilla_seed1/tree')


def test_a_tree_of_a_file(quick, compare, spec, tmp_path):
    own = tmp_path / 'own.json'
    tree = BranchedArchitecture.load('configs/architectures/scenes.json')
    shared = BranchedArchitecture.shared(tree.tasks, tree.encoder, tree.num_layers)
    shared.save(own)
    text = spec + (
        f"models['own'] = dict(kind='tree', architecture={str(own)!r})\n"
        "models['like_own'] = dict(kind='vanilla', reference='own')\n"
    )
    harness, begun = compare(text)
    row = rows_of(harness)['own_seed0']
    assert row.numbers['tree_seconds'] == 0
    assert row.tree == shared.describe()
    assert BranchedArchitecture.load(harness.out / 'trees' / 'own_seed0.json') == shared
    assert [name for name in begun if 'own' in name] == [
        *('own_seed0/train', 'own_seed0/test'),
        *(f'like_own_seed0/{step}' for step in ('tree', 'train', 'test')),
    ]
    shutil.rmtree(tmp_path / 'work')
    assert compare(text)[1] == []
    tree.save(own)  # another tree under the same name is another setting
    with pytest.raises(ValueError, match=r'other settings: own_seed0 \(.*; like_own_seed0'):
        compare(text)


def test_finished_rows_need_no_work_folder(quick, compare, spec, tmp_path):
    compare()
    shutil.rmtree(tmp_path / 'work')
    assert compare()[1] == []
    more = spec + "models['again'] = dict(kind='vanilla')\n"
    harness, begun = compare(more)  # the searched tree is stored: no search
    assert begun == ['again_seed0/tree', 'again_seed0/train', 'again_seed0/test']
    assert rows_of(harness)['again_seed0'].numbers['delta_m'] == pytest.approx(0.6 * 10)
    # What a file no longer asks for stays.
    assert 'again_seed0' in rows_of(compare()[0])


def test_a_row_taken_out_is_made_again(quick, compare, tmp_path):
    harness, _ = compare()
    path = harness.out / 'results.csv'
    path.write_text(
        ''.join(
            li for li in path.read_text().splitlines(True) if not li.startswith('vanilla_seed0')
        )
    )
    shutil.rmtree(tmp_path / 'work')
    assert compare()[1] == [f'vanilla_seed0/{name}' for name in ('tree', 'train', 'test')]


def test_other_settings_are_an_error_and_finished_runs_stay(quick, compare, spec, tmp_path):
    harness, _ = compare()
    before = (harness.out / 'results.csv').read_text()
    other = spec + "models['searched']['search_options'] = dict(weight_iters=3)\n"
    with pytest.raises(ValueError, match=r'other settings: searched_seed0 \(.*--rerun'):
        compare(other)
    with pytest.raises(ValueError, match=r'and \d more\. Take the change back'):
        compare(other + "train_options = {'max_iters': 2}\n")
    assert (harness.out / 'results.csv').read_text() == before
    harness, begun = compare(other, rerun=True)
    names = {name.rsplit('/', 1)[0] for name in begun}
    permuted = {f'permutations_seed0{member}' for member in ('', '_1', '_2')}
    # All that depends on the search, and nothing else.
    assert names == {'searched_seed0', 'vanilla_seed0', *permuted}
    assert all(row.is_done for row in rows_of(harness).values())
    assert compare(other)[1] == []


def test_the_changed_setting_is_named(quick, compare, spec):
    compare()
    with pytest.raises(ValueError, match=r'shared_seed0.*options\.max_iters: None, now 2'):
        compare(spec + "models['shared']['options'] = dict(max_iters=2)\n")
    # Where the data lie is not a setting.
    assert compare(spec.replace('data_root = ROOT', "data_root = 'tests'"))[1] == []


def test_a_step_that_was_begun_with_other_settings(quick, compare, spec, tmp_path):
    broken = spec + "models['shared']['options'] = {'broken': True}\n"
    compare(broken)
    with pytest.raises(ValueError, match=r'work holds .* shared_seed0/train'):
        compare(spec)
    assert compare(spec, rerun=True)[0].missing() == []


def test_a_failure_is_a_row_and_is_tried_again(quick, compare, spec):
    harness, _ = compare(spec + "models['shared']['options'] = {'broken': True}\n", latency=True)
    rows = rows_of(harness)
    assert [name for name, row in rows.items() if not row.is_done] == ['shared_seed0']
    assert rows['shared_seed0'].error.endswith('error: told to break')
    assert rows['shared_seed0'].error.startswith('shared_seed0/train: $ ')
    assert '\n' in rows['shared_seed0'].error
    assert not rows['shared_seed0'].metrics
    assert rows['searched_seed0'].numbers['latency_ms'] == 10
    _, begun = compare(spec + "models['shared']['options'] = {'broken': True}\n")
    assert begun == ['shared_seed0/train']


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        (
            "models['vanilla']['budget'] = 1e6",
            'vanilla: a budget of 1,000,000 multiply-adds is out of reach: the tree that shares',
        ),
        ("models['b'] = dict(kind='bmn', images=9)", 'b: 9 images, expected at least 50'),
        (
            "models['searched']['search'] = 'configs/search_nyud.py'",
            "searched: configs/search_nyud.py is for the tasks .*'depth'",
        ),
        (
            "models['searched']['search'] = 'configs/search_pascal.py'",
            'searched: configs/search_pascal.py searches a tree of .*MobileNetV2',
        ),
        (
            "models['x'] = dict(kind='exchange', config='configs/exchange/mtan_nyud.py')",
            "x: configs/exchange/mtan_nyud.py is for the tasks .*'depth'",
        ),
        (
            "models['searched']['search_options'] = {'model.resource_loss.target_madds': 1e6}",
            'searched: resource_loss.target_madds of 1,000,000 multiply-adds is out of reach',
        ),
        (
            "models['x'] = dict(kind='exchange', config='configs/exchange/mtan_scenes_r50.py')",
            'x: the encoder of configs/exchange/mtan_scenes_r50.py is .*ResNet',
        ),
        (  # within reach at the config's own shape, not at a smaller one
            "models['vanilla']['budget'] = 8e7\ntrain_options = {'model.cost_shape': (64, 64)}",
            'vanilla: a budget of 80,000,000 multiply-adds is out of reach',
        ),
        (
            "models['x'] = dict(kind='tree', architecture='configs/architectures/nyud.json')",
            'x: configs/architectures/nyud.json .*MobileNetV2',
        ),
        ("headlines = ['edge/odsF']", "'edge/odsF' is not among .* which the test computes"),
    ],
)
def test_bad_input_is_named_before_anything_is_trained(compare, spec, tmp_path, line, message):
    with pytest.raises(ValueError, match=message):
        compare(spec + line + '\n')
    assert not (tmp_path / 'out').exists()


def test_rows_of_other_seeds_stay_out_of_the_report(quick, compare):
    compare(seeds=[0, 1])
    harness, _ = compare()
    assert len(rows_of(harness)) == 12
    names = [f'{name}_seed0' for name in ('single', 'shared', 'searched', 'vanilla')]
    names += ['permutations_seed0_1', 'permutations_seed0_2']
    assert [row.run for row in harness.listed_rows()] == names


def test_the_baseline_is_one_that_is_listed(quick, compare, spec):
    compare(seeds=[0, 1])
    harness, _ = compare(spec + "seeds = [0, 1]\nmodels['single']['seeds'] = [0]\n")
    harness.write_rows()
    found = {row.run: row.numbers.get('delta_m') for row in harness.listed_rows()}
    assert found['shared_seed0'] == pytest.approx(6)
    assert found['shared_seed1'] == pytest.approx(7.2)  # the one seed of the baseline is its mean


def test_what_another_process_finishes_meanwhile_is_kept(quick, compare):
    late, _ = compare(train=False)
    compare()
    late.lock()
    late._lock.close()
    assert late.missing() == []
    assert set(late.settings) == set(late.rows)


def test_other_headlines_lose_no_numbers(quick, compare, spec, config, monkeypatch):
    harness, _ = compare()
    assert rows_of(harness)['shared_seed0'].metrics['edge/pixel_AP'] == 55
    header = (harness.out / 'results.csv').read_text().splitlines()[0]
    assert 'edge/odsF' not in header
    harness.headlines[-1] = OdsF.headline_of()
    harness.write_rows()
    rows = rows_of(harness)
    assert rows['shared_seed0'].metrics['edge/pixel_AP'] == 55
    assert 'delta_m' not in rows['shared_seed0'].numbers
    again, begun = compare()
    again.write_rows()
    assert rows_of(again)['shared_seed0'].numbers['delta_m'] == pytest.approx(6)
    assert begun == []


def test_all_metrics_that_are_tested_are_kept(quick, compare, tools):
    path = tools / 'test.py'
    more = "results['edge/odsF'] = results['strange/x'] = 7.0\npathlib.Path(words[words.index"
    path.write_text(path.read_text().replace('pathlib.Path(words[words.index', more))
    metrics = rows_of(compare()[0])['shared_seed0'].metrics
    assert (metrics['edge/odsF'], metrics['edge/pixel_AP']) == (7, 55)
    assert len(metrics) == 6


def test_a_look_at_what_would_run_again_changes_no_file(quick, compare, spec, tmp_path):
    compare()
    files = sorted(tmp_path.glob('work/**/*'))
    other = spec + "models['shared']['options'] = dict(max_iters=2)\n"
    harness, _ = compare(other, rerun=True, train=False)
    assert [run.name for run in harness.missing()] == ['shared_seed0']
    assert sorted(tmp_path.glob('work/**/*')) == files


def test_rows_of_a_model_that_cost_the_same_are_timed_once(quick, compare):
    harness, _ = compare(latency=True, seeds=[0, 1])
    assert [*harness.latency_list()] == [
        f'{name}_seed0' for name in ('single', 'shared', 'searched', 'vanilla')
    ] + ['permutations_seed0_1']
    assert all(row.latency_place == 'here' for row in rows_of(harness).values())
    assert rows_of(harness)['single_seed1'].numbers['latency_ms'] == 50
    # A tree of a seed that costs something else is timed by itself.
    harness.rows['vanilla_seed1'].numbers['madds'] += 1
    assert 'vanilla_seed1' in harness.latency_list()


def test_missing_data_are_named(quick, compare, spec):
    harness, _ = compare(spec.replace('data_root = ROOT', "data_root = 'lost'"), train=False)
    with pytest.raises(FileNotFoundError, match=r'lost, the data of .* is no folder'):
        harness.check_data()


def test_headlines(config, pytestconfig):
    found = list_headlines(config.cfg, [])
    assert [h.key for h in found][-1] == 'edge/pixel_AP'
    pascal = read_tree_config(str(pytestconfig.rootpath / 'configs' / 'branched_pascal.py'))
    assert [h.key for h in list_headlines(pascal.cfg, ['edge/odsF'])][-1] == 'edge/odsF'


def test_headlines_of_a_users_metric(config, monkeypatch):
    class Noise(SemSegMetric):
        headline_name = 'noise'
        unit = 'dB'
        lower_is_better = True

    monkeypatch.setitem(METRICS.module_dict, 'Noise', Noise)
    cfg = copy.deepcopy(config.cfg)
    cfg.test_evaluator = [*cfg.test_evaluator, dict(type='Noise', num_classes=2, task='semseg')]
    assert list_headlines(cfg, ['semseg/noise'])[0] == HeadlineMetric('semseg/noise', True, 'dB')


@pytest.mark.parametrize(
    'name',
    [
        'scenes',
        *(pytest.param(name, marks=pytest.mark.slow) for name in ('pascal', 'nyud', 'pascal_r50')),
    ],
)
def test_the_comparisons_of_the_repository(name, pytestconfig, monkeypatch, tmp_path):
    monkeypatch.chdir(pytestconfig.rootpath)
    comparison = read_comparison(f'configs/compare/{name}.py')
    harness = Harness(comparison, tmp_path / 'out', tmp_path / 'work', pytestconfig.rootpath)
    runs = harness.plan()
    assert len({run.name for run in runs}) == len(runs)
    assert {'single', 'shared', 'searched', 'random', 'vanilla', 'permutations'} <= {
        run.model.kind for run in runs
    }
    assert comparison.paper is None or read_paper(comparison.paper)['rows']


def test_the_comparison_of_context_modules(pytestconfig, monkeypatch, tmp_path):
    monkeypatch.chdir(pytestconfig.rootpath)
    comparison = read_comparison('configs/compare/cells.py')
    harness = Harness(comparison, tmp_path / 'out', tmp_path / 'work', pytestconfig.rootpath)
    options = [dict(run.networks[0].options) for run in harness.plan()]
    context = 'model.backbone.encoder.context'
    assert {one.get(f'{context}.type') for one in options} == {
        *(None, 'ContextModule', 'DensePredictionCell')
    }
    # But for the context module, all train alike.
    bare = [{k: v for k, v in one.items() if not k.startswith(context)} for one in options]
    assert bare == [bare[0]] * (6 * 2)
    assert bare[0]['max_iters'] == 250


def test_the_comparison_of_routings(pytestconfig, monkeypatch, tmp_path, quick):
    monkeypatch.chdir(pytestconfig.rootpath)
    comparison = read_comparison('configs/compare/scenes_routing.py')
    harness = Harness(comparison, tmp_path / 'out', tmp_path / 'work', pytestconfig.rootpath)
    assert len(harness.plan()) == 5 * 3
    searches = {m.name: m for m in comparison.models if m.kind == 'searched'}
    routing = {
        name: Config.fromfile(model['search']).model.backbone.get('routing', {}).get('type')
        for name, model in searches.items()
    }
    assert routing == {
        'soft': None,
        'hard': 'HardRouting',
        'top2': 'TopKRouting',
        'threshold': 'ThresholdRouting',
    }
    soft = searches['soft']
    for model in searches.values():
        assert (model.options, model['search_options']) == (soft.options, soft['search_options'])
        assert model.options['optim_wrapper.constructor'] == 'DefaultOptimWrapperConstructor'


@pytest.mark.parametrize('name', ['scenes_retraining', 'scenes_routing'])
def test_what_is_in_the_docs_is_what_the_files_ask_for(pytestconfig, monkeypatch, tmp_path, name):
    monkeypatch.chdir(pytestconfig.rootpath)
    comparison = read_comparison(f'configs/compare/{name}.py')
    stored = pytestconfig.rootpath / 'docs' / 'results' / name
    harness = Harness(comparison, stored, tmp_path / 'work', pytestconfig.rootpath)
    harness.check_settings(rerun=False)
    assert harness.missing() == []
