"""Measuring a latency table, with a clock that we set, and searching by one."""

import json
from pathlib import Path

import pytest
import torch

from mmbmtas.comparison import latency
from mmbmtas.cost import LatencyTable, expected_cost, timing
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.models.segmentors import SearchEncoderDecoder
from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]
TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture(scope='module')
def config():
    """The search on the scenes, at a small size."""
    return read_tree_config(
        str(ROOT / 'configs' / 'search_scenes.py'), {'model.cost_shape': (32, 48)}
    )


def test_a_label_of_the_whole_image():
    label = {'_delete_': True, 'type': 'LabelHead', 'num_classes': 4, 'target_key': 'gt_edge'}
    options = {'model.cost_shape': (32, 48), 'tasks': ['semseg', 'edge']}
    config = read_tree_config(
        str(ROOT / 'configs' / 'search_scenes.py'), {**options, 'model.decode_heads.edge': label}
    )
    table = latency.measure_latency(config, torch.device('cpu'), 0, 1)
    assert table.decoders_ms.keys() == {*config.tasks}
    assert 'edge' in config.tasks


@pytest.mark.parametrize(
    'options', [{}, {'fuse_conv_bn': True, 'channels_last': True, 'clock': 'cpu'}]
)
def test_each_part_has_its_own_time(config, monkeypatch, options):
    """Let copy ``i`` of layer ``l`` take ``l + 1 + i`` ms, the stem 0.5, decoders 10 and more."""
    now = [0.0]
    prepare = latency.prepare_for_inference

    def takes(milliseconds):
        def hook(*_):
            now[0] += milliseconds / 1e3

        return hook

    def slowed(network, *args):
        network.backbone.stem.register_forward_hook(takes(0.5))
        for index, layer in enumerate(network.backbone.layers):
            for copy, branch in enumerate(layer):
                branch.register_forward_hook(takes(index + 1 + copy))
        for index, head in enumerate(network.decode_heads.values()):
            head.register_forward_hook(takes(10 + index))
        return prepare(network, *args)

    monkeypatch.setattr(latency, 'prepare_for_inference', slowed)
    monkeypatch.setitem(timing.CLOCKS, options.get('clock', 'wall'), lambda: now[0])
    passes = []
    table = latency.measure_latency(
        config, torch.device('cpu'), 1, 3, **options, report=lambda: passes.append(1)
    )
    assert len(passes) == (1 + 3) * 5
    assert table.stem_ms == 0.5
    for index, row in enumerate(table.layers_ms):
        assert row == pytest.approx([sum(range(index + 1, index + 1 + n)) for n in range(1, 6)])
    assert table.decoders_ms == {task: 10 + n for n, task in enumerate(config.tasks)}
    assert table.measured['rounds'] == 3
    assert {key: table.measured[key] for key in options} == options


def test_the_table_is_for_the_config(config):
    table = latency.measure_latency(config, torch.device('cpu'), 0, 1)
    table.check_fits(config.tasks, config.encoder.to_config(), 18, (32, 48))
    assert LatencyTable.from_dict(json.loads(json.dumps(table.to_dict()))) == table
    model = SearchEncoderDecoder(
        **{key: value for key, value in config.cfg.model.items() if key != 'type'}
        | {'resource_loss': {'type': 'ResourceLoss', 'latency': table.to_dict()}}
    )
    loss = model.resource_losses()['loss_resource']
    expected = 0.5 * expected_cost(model.backbone.routing_probs(), table.layers_ms)
    torch.testing.assert_close(loss, expected)


def test_the_processors_clock_is_for_processors(config):
    with pytest.raises(ValueError, match='clock cpu cannot measure the time on cuda'):
        latency.measure_latency(config, torch.device('cuda'), clock='cpu')


def test_a_search_by_latency(toys, search_runner, tmp_path):
    document = toys.latency_table(TASKS)
    model = toys.search_config(TASKS, latency=document, weight=30.0, target_latency_ms=70)
    loop = {'weight_iters': 4, 'warmup_iters': 1}
    runner = search_runner(tmp_path, loop=loop, model=model)
    runner.train()
    model = runner.train_loop.model
    assert model.backbone.arch_params.abs().sum() > 0
    (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    scalars = {}
    for line in path.read_text().splitlines():
        scalars |= json.loads(line)
    table = LatencyTable.from_dict(document)
    tree = BranchedArchitecture.load(tmp_path / 'architecture.json')
    assert table.shared() <= scalars['argmax_latency_ms'] <= table.all_apart()
    assert table.shared() < scalars['expected_latency_ms'] < table.all_apart()
    assert scalars['loss_resource'] == pytest.approx(
        30 * abs(scalars['expected_latency_ms'] / 70 - 1), rel=0.05
    )
    assert tree.madds['network'] > 0
