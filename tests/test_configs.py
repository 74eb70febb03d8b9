"""Every config: its model is built and trained for a step, its header names commands that exist."""

import copy
import functools
import json
import re
from argparse import ArgumentParser
from pathlib import Path

import mmengine.registry
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope, init_default_scope
from PIL import Image

from mmbmtas import launch
from mmbmtas.engine.runner.search_plan import SearchPlan
from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if not {'_base_', 'compare', 'dpc'} & {*path.parts}
)
PAIRS = [f'{data}{net}' for data in ('pascal', 'nyud', 'scenes') for net in ('', '_r50')]
TREE_PAIRS = [*PAIRS, 'nyud_lite0']
EXCHANGES = [
    f'configs/exchange/{kind}_{pair}.py'
    for kind in ('cross_stitch', 'nddr', 'mtan')
    for pair in PAIRS
]
each_config = pytest.mark.parametrize('name', CONFIGS)


def load(name, **options):
    parser = ArgumentParser()
    launch.add_common_arguments(parser)
    words = [f'{key}={value}' for key, value in options.items()]
    args = [str(ROOT / name)] + (['--cfg-options', *words] if words else [])
    return launch.prepare_config(launch.load_config(parser.parse_args(args)))


@pytest.fixture(autouse=True)
def _scope(monkeypatch):
    """Leave no default scope behind, and no rank of another test."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    before = DefaultScope._instance_dict.copy()
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


def test_all_configs_were_found():
    kinds = ('search', 'branched')
    expected = {f'configs/{kind}_{pair}.py' for kind in kinds for pair in TREE_PAIRS}
    expected |= {*EXCHANGES}
    assert expected | {'configs/plain_encoder_decoder.py'} <= {*CONFIGS}


def adapt(cfg, roots):
    """Let data sets lie in small folders, and crop 64 x 64 pixels of them."""
    if 'datasets' in cfg:
        for dataset in cfg.datasets:
            adapt(dataset, roots)
        return
    if cfg.type == 'PlantedMT':
        cfg.update(num_train=8, num_val=4)
        return
    if cfg.type.endswith('VisualDecathlon'):
        cfg.data_root = str(write_domain(roots['pascal'].parent / 'decathlon', cfg.domain))
    else:
        cfg.data_root = str(roots['nyud' if 'NYUD' in cfg.type else 'pascal'])
    for transform in cfg.pipeline:
        if 'size' in transform:
            transform.size = (64, 64)


def write_domain(folder, domain):
    """Write one image of a domain in the Visual Decathlon's layout."""
    (folder / 'annotations').mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (80, 72)).save(folder / f'{domain}.png')
    document = {
        'categories': [{'id': 1}, {'id': 2}],
        'images': [{'id': 5, 'file_name': f'{domain}.png'}],
        'annotations': [{'image_id': 5, 'category_id': 2}],
    }
    (folder / 'annotations' / f'{domain}_train.json').write_text(json.dumps(document))
    return folder


def takes_long(name):
    if 'decathlon' in name:
        return True
    cells = name.endswith('_dpc.py') and 'scenes' not in name
    return 'r50' in name or cells or (name in EXCHANGES and 'scenes' not in name)


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.slow] * takes_long(n)) for n in CONFIGS]
)
def test_a_step_of_training(name, scenes_roots):
    cfg = load(name)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    dataset_cfg = copy.deepcopy(cfg.train_dataloader.dataset)
    adapt(dataset_cfg, scenes_roots)
    dataset = ROOT_DATASETS.build(dataset_cfg)
    if cfg.model.data_preprocessor.get('size'):
        cfg.model.data_preprocessor.size = (64, 64)
    model = ROOT_MODELS.build(cfg.model).train()
    if hasattr(model.backbone, 'set_routing_mode') and 'r50' in name:
        model.backbone.set_routing_mode('warmup')  # a relaxed step of ResNet-50 takes too long
    count = 2 * len(getattr(model, 'domains', ('one',)))
    images = np.linspace(0, len(dataset) - 1, count).round().astype(int)  # two of each domain
    data = model.data_preprocessor(pseudo_collate([dataset[int(i)] for i in images]), True)
    if dataset_cfg.type == 'PlantedMT':
        assert data['inputs'].shape == (2, 3, 16, 16)
    else:
        assert data['inputs'].shape == (count, 3, 64, 64)
        assert data['inputs'].abs().max() <= 1
    total, log = model.parse_losses(model(**data, mode='loss'))
    total.backward()
    assert total.isfinite()
    trained = {key.split('.')[0] for key in log if '.' in key}
    tasks = getattr(model, 'tasks', ['decode'])
    assert trained <= {*tasks}
    assert len(trained) >= len(tasks) - 1  # a crop may show nobody
    for name, parameter in model.backbone.named_parameters():
        assert 'stem.' not in name or parameter.grad.abs().sum() > 0


def metrics_of(evaluator):
    evaluator = evaluator.get('metrics', evaluator) if isinstance(evaluator, dict) else evaluator
    return evaluator if isinstance(evaluator, list) else [evaluator]


@each_config
def test_every_part_is_found(name):
    """The model is built, without memory; loops, hooks, metrics and so on are registered."""
    cfg = load(name)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = ROOT_MODELS.build(cfg.model)
    least = 500 if 'planted' in name else 100_000
    assert sum(p.numel() for p in model.parameters()) > least
    constructor = cfg.optim_wrapper.get('constructor', 'DefaultOptimWrapperConstructor')
    hooks = [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]
    for registry, types in (
        (mmengine.registry.LOOPS, [cfg.train_cfg.type, cfg.val_cfg.type, cfg.test_cfg.type]),
        (mmengine.registry.HOOKS, [hook.type for hook in hooks]),
        (mmengine.registry.METRICS, [metric.type for metric in metrics_of(cfg.val_evaluator)]),
        (mmengine.registry.VISUALIZERS, [cfg.visualizer.type]),
        (mmengine.registry.OPTIM_WRAPPER_CONSTRUCTORS, [constructor]),
    ):
        with registry.switch_scope_and_registry(None) as scoped:
            missing = [kind for kind in types if scoped.get(kind) is None]
        assert not missing


@each_config
def test_header(name):
    """It says what the config does, and its commands name files, options and configs there are."""
    text = (ROOT / name).read_text()
    header = text[: re.search(r'^[^#]', text, re.MULTILINE).start()]
    lines = [line.removeprefix('#').strip() for line in header.splitlines()]
    assert lines[0].endswith(('.', ',')) or lines[1]
    assert len(lines[0]) > 30
    commands = ' '.join(lines).replace('\\ ', '')
    assert f'python tools/train.py {name}' in commands
    for script in re.findall(r'(?:python|bash) (\S+)', commands):
        assert (ROOT / script).is_file(), script
    for config in re.findall(r'configs/\S+\.(?:py|json)', commands):
        assert (ROOT / config).is_file(), config
    work_dirs = {Path(found).name for found in re.findall(r'work_dirs/\w+', commands)}
    configs = map(Path, CONFIGS)
    places = {place for path in configs for place in (path.stem, f'{path.parent.name}_{path.stem}')}
    assert work_dirs <= places
    for option in re.findall(r' (--[a-z-]+)', commands):
        sources = [(ROOT / s).read_text() for s in re.findall(r'python (\S+)', commands)]
        sources += [path.read_text() for path in (ROOT / 'mmbmtas' / 'launch').glob('*.py')]
        assert any(f"'{option}'" in source for source in sources), option
    length = load(name).train_cfg.get('max_iters')
    for iterations in re.findall(r'iter_(\d+)\.pth', commands):
        assert int(iterations) == length


@pytest.mark.parametrize('pair', TREE_PAIRS)
def test_search_and_retraining_fit_together(pair):
    search, branched = (load(f'configs/{kind}_{pair}.py') for kind in ('search', 'branched'))
    tree = BranchedArchitecture.load(branched.architecture)
    assert [*tree.tasks] == [*search.model.backbone.tasks] == [*search.tasks]
    assert search.model.backbone.encoder == branched.model.backbone.encoder
    assert search.model.decode_heads == branched.model.decode_heads
    assert search.model.data_preprocessor == branched.model.data_preprocessor
    assert tuple(search.cost_shape) == tuple(branched.cost_shape)
    assert search.total_batch_size == branched.total_batch_size
    assert tree.groupings[-1].num_groups > 1


@pytest.mark.parametrize('name', EXCHANGES)
def test_exchanging_encoders_differ_from_a_tree_in_the_backbone_alone(name):
    pair = Path(name).stem.removeprefix('cross_stitch_').removeprefix('nddr_').removeprefix('mtan_')
    exchange, branched = load(name), load(f'configs/branched_{pair}.py')
    backbone = exchange.model.pop('backbone')
    encoder = branched.model.pop('backbone').encoder
    assert (backbone.encoder, [*backbone.tasks]) == (encoder, [*exchange.tasks])
    if 'cross_stitch' not in name:
        assert backbone.get('act_cfg') == (None if 'r50' in name else {'type': 'ReLU6'})
    assert ('single_checkpoints' in exchange) == ('mtan' not in name)
    same = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'total_batch_size')
    for key in (*same, 'train_dataloader', 'test_dataloader', 'test_evaluator', 'cost_shape'):
        assert exchange[key] == branched[key], key


@pytest.mark.parametrize('kind', ['search', 'branched'])
def test_another_encoder_changes_nothing_else(kind):
    lite, plain = load(f'configs/{kind}_nyud_lite0.py'), load(f'configs/{kind}_nyud.py')
    encoder = {'type': 'EfficientNetLiteEncoder', 'variant': 0}
    assert lite.model.backbone.pop('encoder') == encoder != plain.model.backbone.pop('encoder')
    norm = lite.model.pop('data_preprocessor')
    assert norm.pop('mean') == [127] * 3  # as the weights were trained
    assert norm.pop('std') == [128] * 3
    assert norm == {k: v for k, v in plain.model.pop('data_preprocessor').items() if k in norm}
    for cfg in (lite, plain):
        cfg.model.backbone.pop('architecture', None)
    for name in {*lite, *plain} - {
        *('encoder', 'architecture', 'pretrained', 'work_dir', 'filled_in')
    }:
        assert lite[name] == plain[name], name


PAPER = {'pascal': (40000, 2000, 16), 'pascal_r50': (40000, 2000, 8)} | {
    'nyud': (20000, 1000, 16),
    'nyud_r50': (20000, 1000, 8),
}


@pytest.mark.parametrize('pair', PAPER)
def test_settings_of_the_paper(pair):
    iterations, warmup, batch = PAPER[pair]
    search, branched = (load(f'configs/{kind}_{pair}.py') for kind in ('search', 'branched'))
    assert search.train_cfg.weight_iters == branched.train_cfg.max_iters == iterations
    assert (search.train_cfg.warmup_iters, search.train_cfg.arch_fraction) == (warmup, 0.2)
    for cfg in (search, branched):
        assert cfg.total_batch_size == cfg.train_dataloader.batch_size == batch
        optimizer = cfg.optim_wrapper.get('weights', cfg.optim_wrapper).optimizer
        assert optimizer == {'type': 'SGD', 'lr': 0.005, 'momentum': 0.9, 'weight_decay': 1e-4}
        schedulers = cfg.param_scheduler
        (poly,) = schedulers if isinstance(schedulers, list) else schedulers.weights
        assert (poly.type, poly.power, poly.eta_min, poly.end) == ('PolyLR', 0.9, 0, iterations)
    arch = search.optim_wrapper.arch_params.optimizer
    assert arch == {'type': 'Adam', 'lr': 0.01, 'weight_decay': 5e-5}
    (tau,) = [hook for hook in search.custom_hooks if hook.type == 'TemperatureHook']
    assert (tau.start, tau.end) == (5.0, 0.1)
    assert branched.optim_wrapper.constructor == 'SharedLrOptimWrapperConstructor'
    assert branched.model.backbone.get('dropout', 0.1) == 0.1
    assert tuple(search.cost_shape) == ((512, 512) if 'pascal' in pair else (425, 560))
    weights = {
        task: head.loss_decode.loss_weight for task, head in search.model.decode_heads.items()
    }
    paper = {'semseg': 1, 'human_parts': 2, 'saliency': 5, 'normals': 10, 'edge': 50, 'depth': 1}
    assert weights == {task: paper[task] for task in weights}
    positive = search.model.decode_heads.edge.loss_decode.positive_weight
    assert positive == (0.95 if 'pascal' in pair else 0.8)


ABLATIONS = {
    'no_resource_loss': 'model.resource_loss.weight',
    'no_warmup': 'train_cfg.warmup_iters',
    'no_resizing': 'train_dataloader.dataset.pipeline',
    'recursive': 'model.resource_loss.expectation',
    'hard': 'model.backbone.routing',
    'top2': 'model.backbone.routing',
    'threshold': 'model.backbone.routing',
}
TESTED_APART = ('_public_code.py', '_reinforce.py')


@pytest.mark.parametrize(
    'name',
    [n for n in CONFIGS if n.startswith('configs/ablations/') and not n.endswith(TESTED_APART)],
)
def test_an_ablation_changes_one_thing(name):
    data, ablation = Path(name).stem.removeprefix('search_').split('_', 1)
    base, ablated = load(f'configs/search_{data}.py'), load(name)
    *path, last = ABLATIONS[ablation].split('.')
    holders = [
        functools.reduce(lambda node, name: node[name], path, cfg) for cfg in (ablated, base)
    ]
    changed = holders[0].pop(last)
    assert changed != holders[1].pop(last, 'exact')
    keys = ('model', 'train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler')
    assert all(ablated[key] == base[key] for key in keys)
    if ablation == 'no_resizing':
        kinds = [step.type for step in changed]
        assert 'ResizeSample' not in kinds
        retraining = load(f'configs/branched_{data}.py').train_dataloader.dataset.pipeline
        assert kinds == [step.type for step in retraining]


def test_sharing_is_the_search_without_cost_and_a_target():
    """The search without a target has no term of cost: it is the ablation of the other."""
    sharing = load('configs/mpnas/ablations/search_pocket_sharing.py')
    free = load('configs/mpnas/search_pocket.py')
    costs = {'target_union_params', 'cost', 'beta'}
    assert {key for key in sharing.train_cfg if key not in free.train_cfg} == costs
    assert sharing.model == free.model
    assert sharing.optim_wrapper == free.optim_wrapper


def test_the_search_by_rewards_differs_in_what_it_learns_from():
    base = load('configs/search_scenes.py')
    ablated = load('configs/ablations/search_scenes_reinforce.py')
    assert ablated.train_cfg == {**base.train_cfg, 'type': 'ReinforceSearchLoop'}
    assert ablated.model.backbone.pop('routing') == {'type': 'HardRouting'}
    assert ablated.model.resource_loss.pop('weight') == base.model.resource_loss.pop('weight') / 1e3
    keys = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'custom_hooks')
    assert all(ablated[key] == base[key] for key in keys)


def test_settings_of_the_public_code():
    """What the authors' repository states, in its own units."""
    cfg = load('configs/ablations/search_pascal_public_code.py')
    images, batch, epochs = 4998, 16, 160
    passes = int(0.8 * images) // batch
    assert cfg.train_cfg.weight_iters == epochs * passes
    assert cfg.train_cfg.warmup_iters == epochs // 20 * passes
    weights, arch = cfg.optim_wrapper.weights.optimizer, cfg.optim_wrapper.arch_params.optimizer
    assert weights == {'type': 'Adam', 'lr': 0.001, 'weight_decay': 1e-4}
    assert arch == {'type': 'Adam', 'lr': 0.01, 'weight_decay': 5e-5}
    assert not [*cfg.param_scheduler.weights, *cfg.param_scheduler.arch_params]
    resource = cfg.model.resource_loss
    assert (resource.weight, resource.expectation) == (0.05 * 2 * 5, 'recursive')
    assert [hook.type for hook in cfg.custom_hooks] == [
        hook.type for hook in load('configs/search_pascal.py').custom_hooks
    ]
    # Their temperature by epoch, from the ninth on: 5 - 4.9 * (epoch - 9) / 151.
    plan = SearchPlan(cfg.train_cfg.weight_iters, cfg.train_cfg.warmup_iters, passes, 62)
    for epoch in (9, 10, 100, 160):
        first = 8 * passes + (epoch - 9) * (passes + 62)
        for iteration in (first, first + 62 + passes - 1):
            progress = plan.progress(iteration, by_cycle=True)
            assert progress == pytest.approx((epoch - 9) / 151)
    assert plan.progress(8 * passes - 1, by_cycle=True) == 0


def test_overrides_reach_the_model(tmp_path):
    name = 'configs/branched_pascal.py'
    tree = BranchedArchitecture.load(load(name).architecture)
    other = BranchedArchitecture.shared(tree.tasks, tree.encoder, tree.num_layers)
    other.save(tmp_path / 'other.json')
    cfg = load(name, architecture=tmp_path / 'other.json')
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        assert ROOT_MODELS.build(cfg.model).backbone.architecture == other
