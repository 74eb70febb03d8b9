"""Exercise: a backbone of another method trains, is counted and stands in a comparison."""

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from mmbmtas.comparison.networks import network_cost
from mmbmtas.comparison.results import read_rows
from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS

SPEC = """
search = {root!r} + '/configs/search_scenes.py'
branched = {root!r} + '/configs/branched_scenes.py'
data_root = ROOT
seeds = [0]
models = dict(
    single=dict(kind='single'),
    shared=dict(kind='shared'),
    adapters=dict(kind='exchange', config=CONFIG),
)
"""
CONFIG = """
_base_ = {root!r} + '/configs/branched_scenes.py'
architecture = None
model = dict(backbone=dict(type='AdapterNetwork', reduction=2))
"""
# In place of tools/test.py: trees have 50, other networks 60.
TEST = """
import json, pathlib, sys
words = sys.argv[1:]
tree = [word.partition('=')[2] for word in words if word.startswith('architecture=')]
keys = {
    'semseg': 'semseg/mIoU', 'human_parts': 'human_parts/mIoU', 'saliency': 'saliency/maxIoU',
    'normals': 'normals/mean', 'edge': 'edge/pixel_AP',
}
tasks = json.loads(pathlib.Path(tree[0]).read_text())['tasks'] if tree else keys
scores = {keys[task]: 50.0 if tree else 60.0 for task in tasks}
pathlib.Path(words[words.index('--out') + 1]).write_text(json.dumps(scores))
"""


class AdapterNetwork(BaseModule):
    """One encoder for all tasks, and a 1x1 bottleneck of each task behind it (a residual adapter).

    After Rebuffi et al., Learning multiple visual domains with residual adapters, NeurIPS 2017.
    """

    def __init__(self, tasks, encoder, reduction=2, init_cfg=None):
        super().__init__(init_cfg)
        self.tasks = tuple(tasks)
        self.encoder = build_encoder(encoder)
        self.stem = self.encoder.build_stem()
        self.layers = nn.ModuleList(
            self.encoder.build_layer(index) for index in range(self.encoder.num_layers)
        )
        width = self.encoder.context_channels
        self.adapters = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.Conv2d(width, width // reduction, 1, bias=False),
                    nn.ReLU(),
                    nn.Conv2d(width // reduction, width, 1, bias=False),
                )
                for task in self.tasks
            }
        )

    def forward(self, x):
        x = self.stem(x)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == self.encoder.low_level_index:
                low_level = x
        return {task: (low_level, x + self.adapters[task](x)) for task in self.tasks}

    def shared_by(self):
        yield self.stem, len(self.tasks)
        yield self.layers, len(self.tasks)
        yield self.adapters, 1


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'AdapterNetwork', AdapterNetwork)


def test_it_trains(toys, make_runner, tmp_path):
    tasks = ('semseg', 'normals')
    runner = make_runner(
        tmp_path,
        toys.exchange_config('AdapterNetwork', tasks),
        {'type': 'IterBasedTrainLoop', 'max_iters': 2},
        {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'SGD', 'lr': 0.1},
            'constructor': 'SharedLrOptimWrapperConstructor',
        },
    )
    backbone = runner.model.backbone
    rates = {}
    weight = backbone.adapters['normals'][2].weight.detach().clone()
    runner.train()
    assert not torch.equal(backbone.adapters['normals'][2].weight, weight)
    for group in runner.optim_wrapper.param_groups:
        rates |= {id(parameter): group['lr'] for parameter in group['params']}
    # Two tasks share the encoder: half the rate.
    assert rates[id(backbone.stem.conv.weight)] == 0.05
    assert rates[id(backbone.adapters['semseg'][0].weight)] == 0.1


def test_it_stands_in_a_comparison(compare, tools, tmp_path, pytestconfig):
    (tools / 'test.py').write_text(TEST)
    root = str(pytestconfig.rootpath)
    config = tmp_path / 'adapters.py'
    config.write_text(CONFIG.format(root=root))
    harness, _ = compare(SPEC.format(root=root).replace('CONFIG', repr(str(config))))
    rows = {row.run: row for row in read_rows(harness.out / 'results.csv')}
    assert all(row.is_done for row in rows.values())
    shared, own = (rows[f'{name}_seed0'].numbers['madds'] for name in ('shared', 'adapters'))
    assert own == network_cost(str(config), {}).madds
    # Five tasks, each with two 1x1 convolutions between C and C / 2 channels at 1/16 of 128 x 160.
    width = harness.config.encoder.context_channels
    assert own - shared == 5 * 2 * width * (width // 2) * 8 * 10
    assert rows['adapters_seed0'].numbers['delta_m'] == pytest.approx(0.6 * 20)


def test_one_that_lacks_something_is_told_what(toys, monkeypatch):
    class Bare(nn.Module):
        tasks = ('semseg', 'normals')

        def __init__(self, **options):
            super().__init__()

    monkeypatch.setitem(MODELS.module_dict, 'Bare', Bare)
    with pytest.raises(InputError, match=r'Bare as backbone of MultiTask.* no encoder, shared_by'):
        toys.build(toys.exchange_config('Bare', Bare.tasks))
    search = toys.search_config(Bare.tasks)
    search['backbone']['type'] = 'AdapterNetwork'
    with pytest.raises(InputError, match=r'AdapterNetwork .* no architecture_parameters, export_'):
        toys.build(search)
