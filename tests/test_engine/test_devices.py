"""Runs and measurements on a GPU, mostly a pretended one, see ``tests/pretend_gpu.py``."""

import json
import runpy
import sys
import time
import types
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_flatten

from mmbmtas.cost import timing
from mmbmtas.engine import failures
from mmbmtas.engine.optimizers import JacobianOptimWrapper
from mmbmtas.losses.balancing import carry_parts

ROOT = Path(__file__).parents[2]
TASKS = ('semseg', 'edge')
SGD = {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9}


def numbers(runner):
    """Weights and optimisers, on the CPU; and whether those of the network are on the GPU."""
    state = [runner.model.state_dict(), runner.optim_wrapper.state_dict()]
    leaves = [x.cpu() if isinstance(x, torch.Tensor) else x for x in tree_flatten(state)[0]]
    return leaves, {p.is_cuda for p in runner.model.parameters()}


@pytest.mark.parametrize('kind', ['OptimWrapper', 'AmpOptimWrapper'])
def test_a_search(toys, gpu, pretence, search_runner, tmp_path, kind):
    """Of all phases; resumed in one that trains weights; and on a CPU."""
    model = toys.search_config(TASKS, toys.TINY, weight=1.0)
    computed = set()
    optimisers = {'weights': SGD, 'arch_params': {'type': 'Adam', 'lr': 0.01}}

    def search(name, **options):
        wrappers = {key: {'type': kind, 'optimizer': sgd} for key, sgd in optimisers.items()}
        runner = search_runner(
            tmp_path / name,
            model=model,
            loop={'weight_iters': 4, 'warmup_iters': 1},
            optim_wrapper={'constructor': 'SearchOptimWrapperConstructor', **wrappers},
            default_hooks={
                'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 4},
                'gradients': {'type': 'NonFiniteGradientHook'},
            },
            **options,
        )
        runner.model.backbone.stem.conv.register_forward_hook(
            lambda *call: computed.add(call[-1].dtype)
        )
        runner.train()
        return numbers(runner)

    resume = {'load_from': str(tmp_path / 'whole/iter_4.pth'), 'resume': True}
    with gpu():
        whole, on_gpu = search('whole')
        resumed, _ = search('resumed', **resume)
    assert on_gpu == {True}
    assert computed == {torch.float16 if kind == 'AmpOptimWrapper' else torch.float32}
    exact = {'rtol': 0, 'atol': 0} if gpu is pretence.pretend_gpu else {'rtol': 1e-2, 'atol': 1e-3}
    torch.testing.assert_close(resumed, whole, **exact)
    if kind == 'OptimWrapper' and gpu is pretence.pretend_gpu:  # real ones draw other numbers
        expected, on_gpu = search('cpu')
        assert on_gpu == {False}
        torch.testing.assert_close(whole, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    'kind', ['OptimWrapper', pytest.param('AmpOptimWrapper', marks=pytest.mark.slow)]
)
def test_a_search_of_paths(gpu, pretence, path_runner, tmp_path, kind):
    """With the expected cost; a scaler of losses does not scale the policies' steps."""
    rates = {'weights': 1e-3, 'arch_params': 0.05}

    def search(name):
        runner = path_runner(
            tmp_path / name,
            domains=('digits',),
            loop={
                'weight_iters': 2,
                'warmup_share': 0,
                'val_batch_factor': 1,
                'target_madds': 800_000,
                'cost': 'expected',
            },
            optim_wrapper={
                key: {'type': kind, 'optimizer': {'type': 'SGD', 'lr': rate}}
                for key, rate in rates.items()
            },
            default_hooks={'gradients': {'type': 'NonFiniteGradientHook'}},
        )
        runner.train()
        return numbers(runner)[1], [p.detach().cpu() for p in runner.model.policy.parameters()]

    with gpu():
        on_gpu, policies = search('gpu')
    assert on_gpu == {True}
    assert any(map(torch.Tensor.any, policies))
    if kind == 'OptimWrapper' and gpu is pretence.pretend_gpu:  # real ones draw other numbers
        on_gpu, expected = search('cpu')
        assert on_gpu == {False}
        torch.testing.assert_close(policies, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    'aggregator',
    [
        {'type': 'UPGrad', 'pref_vector': {'a': 2, 'b': 1}},
        {'type': 'Constant', 'weights': {'a': 2, 'b': 1}},
        {'type': 'PCGrad'},
        {'type': 'CAGrad', 'c': 0.5},
        {'type': 'NashMTL'},
    ],
    ids=lambda aggregator: aggregator['type'],
)
def test_aggregated_gradients(gpu, aggregator):
    pytest.importorskip('torchjd', reason='TorchJD is not installed')
    found = []
    for on_gpu in (False, True):
        model = nn.Linear(2, 2, bias=False)
        nn.init.ones_(model.weight)

        def train(model=model):
            wrapper = JacobianOptimWrapper(
                dict(aggregator), optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
            )
            rows = model.weight @ model.weight.new_tensor([[2.0, -1.0], [0.5, 1.0]])
            parts = dict(zip('ab', rows.sum(dim=0), strict=True))
            wrapper.update_params(carry_parts(rows.sum(), parts))
            return model.weight.detach().cpu()

        if on_gpu:
            with gpu():
                model.to('cuda')
                found.append(train())
        else:
            found.append(train())
    torch.testing.assert_close(*found)


def test_what_broke_is_found_there(toys, gpu):
    preprocessor = {'data_preprocessor': {'type': 'mmengine.ImgDataPreprocessor'}}
    model = toys.build({**toys.search_config(TASKS, toys.TINY), **preprocessor})
    images, samples = toys.batch(TASKS, (32, 32))
    loop = types.SimpleNamespace(runner=types.SimpleNamespace(model=model, seed=0), iter=0)
    batch = {'inputs': [*images], 'data_samples': samples}
    with gpu():
        model.to('cuda')
        assert 'the loss itself overflows' in failures._find_origin(loop, batch)
        with torch.no_grad():
            model.decode_heads['edge'].conv_seg.bias.fill_(torch.inf)
        assert failures._find_origin(loop, batch).endswith('decode_heads.edge.conv_seg.bias')


def test_a_clock_does_not_wait_between_its_marks(pretence):
    """A GPU has times of its own; waiting for each part would add what the waiting takes."""
    with pretence.pretend_gpu() as waits:
        clock = timing.Marks(pretence.GPU)
        for milliseconds in (20, 5):
            time.sleep(milliseconds / 1e3)
            clock.mark()
        assert len(waits) == 1
        first, second = clock.milliseconds()
        assert len(waits) == 2
    assert first > 20 > second > 5


@pytest.fixture
def analysis(tmp_path, monkeypatch, capsys):
    """Run a tool or a benchmark, in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(name, *words):
        monkeypatch.syspath_prepend(str((ROOT / name).parent))
        monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
        runpy.run_path(str(ROOT / name), run_name='__main__')
        return capsys.readouterr().out

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    'words',
    [
        ['resource', 'search_scenes.py'],
        ['search', 'search_scenes.py'],
        ['search', 'search_scenes.py', '--amp'],
        ['train', 'branched_scenes.py'],
        ['infer', 'branched_scenes.py'],
    ],
    ids=' '.join,
)
def test_benchmarks(gpu, analysis, words):
    part, config, *options = words
    if part != 'resource':
        options += ['--shape', '64', '64']
    if part in ('search', 'train'):
        options += ['--batch-size', '2']
    if part == 'search':
        options += ['--cfg-options', 'tasks=[semseg,edge]']
    rounds = ['--warmup', 0, '--repeats', 2, '--json']
    with gpu():
        printed = analysis(
            'benchmarks/benchmark.py', part, ROOT / 'configs' / config, *options, *rounds
        )
        result = json.loads(printed)
        assert result['device'] == torch.cuda.get_device_name(0)
    groups = result.get('phases', {'': result})
    assert all(group['ours']['peak_bytes'] > 0 for group in groups.values())


@pytest.mark.slow
@pytest.mark.parametrize('words', [['memory'], ['layers', '--layers', '0', '3']], ids=' '.join)
def test_benchmarks_of_searches_alone(gpu, analysis, words):
    part, *options = words
    config = ROOT / 'configs' / 'search_scenes.py'
    options += ['--shape', '64', '64', '--batch-size', '2', '--json']
    with gpu():
        printed = analysis('benchmarks/benchmark.py', part, config, *options)
        assert json.loads(printed)['device'] == torch.cuda.get_device_name(0)


@pytest.mark.slow
def test_a_latency_table(gpu, analysis):
    config, size = ROOT / 'configs' / 'search_scenes.py', 'model.cost_shape=[64,80]'
    with gpu():
        tool = 'tools/analysis_tools/measure_latency.py'
        analysis(tool, config, '--repeats', 1, '--warmup', 1, '--cfg-options', size)
        table = json.loads(Path('latency.json').read_text())
        assert table['measured']['device'] == torch.cuda.get_device_name(0)
    assert all(ms > 0 for row in table['layers_ms'] for ms in row)
