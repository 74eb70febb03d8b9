"""The examples of docs/extending do what the pages say; test_guide.py has that of the data set."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.registry import LOOPS, METRICS, MODELS, TASK_UTILS
from mmbmtas.structures import BranchedArchitecture, PathArchitecture

ROOT = Path(__file__).parents[1]
REGISTERED = {
    'SmallEncoder': TASK_UTILS,
    'SumHead': MODELS,
    'MedianDepthError': METRICS,
    'ThresholdSearchLoop': LOOPS,
    'EvolutionSearchLoop': LOOPS,
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write the files of a page, and read its config with overrides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {*sys.modules}

    def read(page, **options):
        text = (ROOT / 'docs/extending' / f'{page}.md').read_text()
        files = re.findall(r'```python\n(# (\w+\.py)\n.*?)```', text, re.DOTALL)
        for content, name in files:
            (tmp_path / name).write_text(content.replace("'configs/", f"'{ROOT}/configs/"))
        cfg = launch.read_config(files[-1][1], options)
        init_default_scope('mmbmtas')
        return cfg

    yield read
    for name in {*sys.modules} - before:
        if name.startswith('my_'):
            del sys.modules[name]
    for name, registry in REGISTERED.items():
        registry.module_dict.pop(name, None)


def test_an_encoder_is_searched(read, toys):
    cfg = read('encoder', tasks=['semseg', 'edge'])
    model = MODELS.build(cfg.model)
    total, _ = model.parse_losses(model(*toys.batch(['semseg', 'edge']), mode='loss'))
    total.backward()
    assert model.backbone.arch_params.grad.abs().sum() > 0
    tree = model.export_architecture()
    again = BranchedArchitecture.from_dict(tree.to_dict())
    network = {'type': 'BranchedNetwork', 'architecture': again.to_dict()}
    assert MODELS.build(network).encoder.to_config() == {'type': 'SmallEncoder', 'width': 16}
    # A 3x3 convolution of 16 to 16 channels at a quarter of 128 x 160.
    assert model.network_cost.layer_madds[1:] == (16 * 16 * 9 * 32 * 40,) * 2


def test_a_decoder_learns(read, toys):
    tasks = ['semseg', 'edge']
    cfg = read('head', tasks=tasks)
    cfg.model.backbone.architecture = toys.random_tree(
        tasks, cfg.model.backbone.encoder.to_dict()
    ).to_dict()
    model = MODELS.build(cfg.model)
    head = model.decode_heads['edge']
    assert [p.in_channels for p in head.projections] == [8, 64]
    _, losses = model.parse_losses(model(*toys.batch(tasks), mode='loss'))
    assert any(key.startswith('edge.loss') for key in losses)
    images, _ = toys.batch(tasks)
    with torch.no_grad():
        assert model.eval()(images, mode='tensor')['edge'].shape == (2, 1, 16, 16)


def test_a_metric_has_its_unit(read):
    cfg = read('metric')
    metric = METRICS.build(cfg.test_evaluator[-1])
    label = np.array([[[1.0, 2.0, 0.0]]])  # the last is unknown
    prediction = np.array([[[1.1, 2.3, 9.0]]])
    sample = {'gt_depth': {'data': label}, 'pred_depth': {'data': prediction}}
    metric.process(None, [sample])
    scores = metric.compute_metrics(metric.results)
    assert scores == {'median': pytest.approx(20)}
    assert metric.headline.format(scores['median']) == '20.0 cm'
    assert metric.headline.key == 'depth/median'


@pytest.mark.parametrize(('threshold', 'groups'), [(0, [1, 1, 1]), (1.1, [4, 4, 4])])
def test_a_search_method_finds_its_tree(read, tmp_path, threshold, groups):
    cfg = read('search_method', weight_iters=2)
    cfg.train_cfg.update(threshold=threshold, batches=1)
    cfg.experiment_name = tmp_path.name
    cfg.default_hooks.pop('visualization')
    cfg.work_dir = str(tmp_path / 'work')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(num_train=96, num_val=4)
    launch.build_runner(cfg).train()
    tree = BranchedArchitecture.load(tmp_path / 'work/architecture.json')
    assert [layer.num_groups for layer in tree.groupings] == groups


def test_a_fourth_search_ends_in_the_best_paths_it_has_seen(read, path_runner, tmp_path):
    cfg = read('new_search')
    assert cfg.train_cfg.type == 'EvolutionSearchLoop'
    backbone = {'policy': cfg.model.backbone.policy.to_dict()}
    runner = path_runner(
        tmp_path / 'work',
        loop={'type': 'EvolutionSearchLoop', 'weight_iters': 4},
        backbone=backbone,
    )
    runner.train()
    best = runner.message_hub.runtime_info['best_paths']
    found = PathArchitecture.load(tmp_path / 'work/architecture.json')
    assert {domain: [*path] for domain, path in found.routing.items()} == {
        domain: path for domain, (_, path) in best.items()
    }


def test_an_aggregator_is_found_by_its_name(read):
    pytest.importorskip('torchjd')
    from mmbmtas.engine.optimizers.aggregators import AggregatorFactory

    cfg = read('aggregator')
    aggregator = AggregatorFactory(cfg.optim_wrapper.aggregator).build(['a', 'b', 'c'])
    rows = torch.tensor([[1.0, -2.0], [5.0, 0.0], [2.0, 9.0]])
    assert aggregator(rows).tolist() == [2.0, 0.0]
