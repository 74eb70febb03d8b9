"""Configs for several tasks, narrowed to those of an architecture."""

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.errors import InputError
from mmbmtas.launch import task_subset
from mmbmtas.launch.task_subset import narrow_to_architecture, narrow_to_tasks
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture

SCENES = 'configs/branched_scenes.py'
PARTIAL = 'configs/branched_scenes_partial.py'


@pytest.fixture
def narrowed(pytestconfig, tmp_path):
    """Prepare a config with a tree of some of its tasks."""

    def prepare(config, tasks, **options):
        path = str(pytestconfig.rootpath / config)
        tree = BranchedArchitecture.load(pytestconfig.rootpath / _tree(path))
        path_of_tree = tmp_path / 'tree.json'
        known = [task for task in tasks if task in tree.tasks]
        if known == [*tasks]:
            tree.for_tasks(tasks).save(path_of_tree)
        else:
            other = BranchedArchitecture.shared(tasks, tree.encoder, tree.num_layers)
            other.save(path_of_tree)
        cfg = launch.read_config(path, {'architecture': str(path_of_tree), **options})
        cfg.launcher = 'none'
        return launch.prepare_config(cfg)

    return prepare


def _tree(config):
    return Config.fromfile(config).architecture


def _metrics(evaluator):
    return [metric['type'].split('.')[-1] for metric in evaluator]


def test_one_task_is_left_everywhere(narrowed, monkeypatch):
    lines = []
    monkeypatch.setattr(task_subset, 'print_log', lambda line, logger: lines.append(line))
    cfg = narrowed(SCENES, ['saliency'])
    (line,) = lines
    assert "tree.json leaves out the tasks ['semseg', 'human_parts', 'normals', 'edge']" in line
    assert [*cfg.model.decode_heads] == ['saliency']
    for name in ('train', 'val', 'test'):
        assert cfg[f'{name}_dataloader'].dataset.tasks == ['saliency']
    assert _metrics(cfg.val_evaluator) == _metrics(cfg.test_evaluator) == ['SaliencyMetric']
    init_default_scope('mmbmtas')
    model = MODELS.build(cfg.model)
    assert model.tasks == ('saliency',)


def test_the_order_of_the_config_stays(narrowed):
    cfg = narrowed(SCENES, ['edge', 'semseg', 'normals'])
    assert [*cfg.model.decode_heads] == ['semseg', 'normals', 'edge']
    assert cfg.train_dataloader.dataset.tasks == ['semseg', 'normals', 'edge']
    assert _metrics(cfg.test_evaluator) == ['SemSegMetric', 'NormalsMetric', 'EdgePixelMetric']


def test_data_sets_of_other_tasks_leave_a_concatenation(narrowed):
    cfg = narrowed(PARTIAL, ['depth', 'edge'])
    for name in ('train', 'val', 'test'):
        (left,) = cfg[f'{name}_dataloader'].dataset.datasets
        assert (left.type, left.tasks) == ('NYUDv2MT', ['edge', 'depth'])
    both = narrowed(PARTIAL, ['normals', 'semseg']).train_dataloader.dataset.datasets
    assert [dataset.tasks for dataset in both] == [['semseg', 'normals'], ['normals']]


def test_all_tasks_change_nothing(narrowed, pytestconfig, monkeypatch):
    tasks = ['edge', 'normals', 'saliency', 'human_parts', 'semseg']
    whole = launch.read_config(str(pytestconfig.rootpath / SCENES))
    lines = []
    monkeypatch.setattr(task_subset, 'print_log', lambda line, logger: lines.append(line))
    cfg = narrowed(SCENES, tasks)
    assert not lines
    for key in ('decode_heads', 'test_evaluator', 'test_dataloader'):
        assert cfg.get(key, cfg.model.get(key)) == whole.get(key, whole.model.get(key))


def test_a_task_too_many_is_named(narrowed):
    cfg = narrowed(SCENES, ['semseg', 'depth'])
    assert len(cfg.model.decode_heads) == 5
    init_default_scope('mmbmtas')
    with pytest.raises(ValueError, match=r"\['semseg', 'depth'\].*they must be the same"):
        MODELS.build(cfg.model)


@pytest.fixture
def tree(tmp_path):
    encoder = {'type': 'MobileNetV2Encoder'}
    BranchedArchitecture.shared(['edge'], encoder, 2).save(tmp_path / 'edge.json')
    return str(tmp_path / 'edge.json')


def test_evaluators_and_metrics_of_other_forms(tree):
    edge, other = {'type': 'OdsF', 'dataset': 'nyud', 'task': 'rim'}, {'type': 'DumpResults'}
    metrics = [{'type': 'EdgePixelMetric'}, edge, other]
    cfg = Config(
        {
            'model': {
                'backbone': {'architecture': tree},
                'decode_heads': {'edge': {}, 'rim': {}},
            },
            'test_evaluator': {'type': 'MultiTaskEvaluator', 'metrics': metrics, 'baseline': 'a'},
            'val_evaluator': {'type': 'OdsF', 'dataset': 'nyud', 'task': 'edge'},
        }
    )
    narrow_to_architecture(cfg)
    assert [m.type for m in cfg.test_evaluator.metrics] == ['EdgePixelMetric', 'DumpResults']
    assert (cfg.test_evaluator.type, cfg.test_evaluator.baseline) == ('MultiTaskEvaluator', 'a')
    assert [m.type for m in cfg.val_evaluator] == ['OdsF']


def test_wrapped_data_sets_and_data_without_the_task(tree):
    repeated = {'type': 'RepeatDataset', 'dataset': {'tasks': ['edge', 'rim']}}
    cfg = Config(
        {
            'model': {
                'backbone': {'architecture': tree},
                'decode_heads': {'edge': {}, 'rim': {}},
            },
            'train_dataloader': {'dataset': repeated},
            'val_dataloader': {'dataset': {'type': 'reads what there is'}},
        }
    )
    narrow_to_architecture(cfg)
    assert cfg.train_dataloader.dataset.dataset.tasks == ['edge']
    repeated_alone = {'type': 'RepeatDataset', 'dataset': {'tasks': ['rim']}}
    for dataset in ({'tasks': ['rim']}, repeated_alone):
        cfg.model.decode_heads.rim = {}
        cfg.test_dataloader = {'dataset': dataset}
        with pytest.raises(
            ValueError, match=r"test_dataloader has no labels of any of .*\['edge'\]"
        ):
            narrow_to_architecture(cfg)


def test_a_concatenation_without_the_tasks_is_like_any_data_without_them(tree):
    """Alone it is an error; inside another it goes, as a plain data set does."""
    others = {'type': 'ConcatDataset', 'datasets': [{'tasks': ['rim']}, {'tasks': ['rim']}]}
    nested = {'type': 'ConcatDataset', 'datasets': [others, {'tasks': ['rim', 'edge']}]}
    heads = {'edge': {}, 'rim': {}}
    cfg = Config(
        {
            'model': {'backbone': {'architecture': tree}, 'decode_heads': heads},
            'train_dataloader': {'dataset': nested},
        }
    )
    narrow_to_architecture(cfg)
    assert cfg.train_dataloader.dataset.datasets == [{'tasks': ['edge']}]
    cfg.model.decode_heads.rim = {}
    cfg.val_dataloader = {'dataset': others}
    with pytest.raises(ValueError, match=r"val_dataloader has no labels of any of .*\['edge'\]"):
        narrow_to_architecture(cfg)


def test_paths_of_fewer_domains(toys):
    """Data sets, decoders and metrics of domains without a path go."""
    domains = {'digits': ['digits'], 'rooms': ['semseg', 'depth'], 'roads': ['edge']}
    config = toys.path_config(domains)
    paths = toys.random_paths(['rooms', 'digits'])
    config['backbone']['architecture'] = paths.to_dict()
    sets = [
        {'type': 'VisualDecathlon', 'domain': 'digits'},
        {'type': 'PascalContextMT', 'tasks': ['semseg', 'depth']},
        {'type': 'PascalContextMT', 'tasks': ['edge']},
    ]
    data = {'type': 'ConcatDataset', 'datasets': sets, 'domains': [*domains]}
    cfg = Config({'model': config, 'train_dataloader': {'dataset': data}, 'tasks': [*toys.SIX]})
    narrow_to_architecture(cfg)
    assert {*cfg.model.decode_heads} == {'digits', 'semseg', 'depth'}
    assert cfg.model.backbone.domains == {'digits': ['digits'], 'rooms': ['semseg', 'depth']}
    assert cfg.tasks == [task for task in toys.SIX if task in ('semseg', 'depth')]
    assert cfg.train_dataloader.dataset.domains == ['digits', 'rooms']
    assert len(cfg.train_dataloader.dataset.datasets) == 2
    init_default_scope('mmbmtas')
    model = MODELS.build(cfg.model)
    assert [*model.domains] == ['digits', 'rooms']
    model.loss(*toys.domain_batch({d: domains[d] for d in ('digits', 'rooms')}))


def test_auxiliary_heads_of_other_tasks_are_left_out(narrowed):
    head = {'type': 'mmseg.FCNHead', 'in_index': 1, 'channels': 4}
    heads = {
        task: dict(head, loss_decode={'type': 'BalancedBCELoss'}) for task in ('edge', 'saliency')
    }
    cfg = narrowed(SCENES, ['saliency'], **{'model.auxiliary_heads': heads})
    init_default_scope('mmbmtas')
    assert [*MODELS.build(cfg.model).auxiliary_heads] == ['saliency']


@pytest.mark.parametrize('named', [False, True])
def test_data_of_domains_without_a_path_goes_whatever_its_tasks(toys, named):
    """A data set of the roads has no place without their path, even with labels of the rooms."""
    sets = [{'tasks': ['semseg']}, {'tasks': ['semseg', 'edge']}, {'type': 'reads what there is'}]
    names = ['rooms', 'roads', 'rooms']
    data = {'type': 'ConcatDataset', 'datasets': sets}
    if named:
        data['domains'] = names
    else:
        for dataset, name in zip(sets, names, strict=True):
            dataset['domain'] = name
    domains = {'rooms': ['semseg'], 'roads': ['edge']}
    paths = toys.random_paths(['rooms']).to_dict()
    cfg = Config(
        {
            'model': {
                'backbone': {'architecture': paths, 'domains': domains},
                'decode_heads': {'semseg': {}, 'edge': {}},
            },
            'train_dataloader': {'dataset': data},
        }
    )
    narrow_to_architecture(cfg)
    assert cfg.train_dataloader.dataset.datasets == [sets[0], sets[2]]


@pytest.mark.parametrize(
    ('domains', 'left'),
    [
        (
            {'rooms': ['semseg', 'depth'], 'roads': ['edge'], 'digits': ['digits']},
            {'rooms': ['depth']},
        ),
        (['semseg', 'depth', 'edge', 'digits'], ['depth']),
    ],
)
def test_some_tasks_of_domains(domains, left):
    """Other tasks go, and with its last task a domain and its data."""
    sets = [
        {'tasks': ['semseg', 'depth']},
        {'tasks': ['edge']},
        {'type': 'VisualDecathlon', 'domain': 'digits'},
    ]
    cfg = Config(
        {
            'model': {
                'backbone': {'domains': domains},
                'decode_heads': {task: {} for task in ('semseg', 'depth', 'edge', 'digits')},
            },
            'train_dataloader': {'dataset': {'type': 'ConcatDataset', 'datasets': sets}},
        }
    )
    narrow_to_tasks(cfg, ['depth'])
    assert cfg.model.backbone.domains == left
    assert [*cfg.model.decode_heads] == ['depth']
    assert cfg.train_dataloader.dataset.datasets == [{'tasks': ['depth']}]


@pytest.mark.parametrize('tasks', [[], ['edge', 'edge'], ['edge', 'other']])
def test_tasks_that_are_none_of_the_config_are_refused(tasks):
    cfg = Config({'model': {'backbone': {}, 'decode_heads': {'edge': {}, 'rim': {}}}})
    with pytest.raises(InputError, match=r"expected different ones out of \['edge', 'rim'\]"):
        narrow_to_tasks(cfg, tasks)


ACCURACY = {'type': 'Accuracy', 'task': 'birds'}


@pytest.mark.parametrize(
    'evaluator', [ACCURACY, [{'type': 'SaliencyMetric'}, ACCURACY], {'metrics': [ACCURACY]}]
)
@pytest.mark.parametrize('name', ['val_evaluator', 'test_evaluator'])
def test_metrics_of_tasks_that_the_network_lacks_are_refused(toys, name, evaluator):
    model = toys.branched_config(['saliency', 'edge'], toys.TINY)
    cfg = Config({'model': model, 'launcher': 'none', name: evaluator})
    with pytest.raises(
        InputError, match=rf"{name} has Accuracy of the task 'birds', .* \['saliency', 'edge'\]"
    ):
        launch.prepare_config(cfg, training=False)
    cfg[name] = {'type': 'SaliencyMetric'}
    launch.prepare_config(cfg, training=False)
