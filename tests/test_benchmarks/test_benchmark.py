"""The benchmark: what its clocks and counters say, and that each part measures what it names."""

import importlib
import json
import runpy
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmbmtas import deploy
from mmbmtas.cost import LatencyTable, recursive_expected_madds
from mmbmtas.datasets import PascalContextMT
from mmbmtas.datasets.cache_writer import write_cache
from mmbmtas.models.backbones.operations import relu6_
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'benchmarks'
CPU = torch.device('cpu')
PREPROCESSOR = {
    'type': 'mmengine.ImgDataPreprocessor',
    'mean': [123.0, 116.0, 103.0],
    'std': [58.0, 57.0, 56.0],
    'bgr_to_rgb': True,
}
NARROW = {'type': 'MobileNetV2Encoder', 'widen_factor': 0.25, 'context_channels': 8}


@pytest.fixture(autouse=True)
def _beside(monkeypatch):
    """Import what lies beside the tool, as it does when it is run."""
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.chdir(ROOT)


@pytest.fixture
def timing(_beside):
    return importlib.import_module('benchmarking.timing')


@pytest.fixture
def benchmark(_beside, monkeypatch, capsys):
    """Run the tool; give what it printed as JSON."""

    def run(*words, as_json=True):
        argv = ['benchmark.py', *map(str, words), *['--json'] * as_json]
        monkeypatch.setattr(sys, 'argv', argv)
        runpy.run_path(str(TOOLS / 'benchmark.py'), run_name='__main__')
        printed = capsys.readouterr().out
        return json.loads(printed) if as_json else printed

    return run


class TestTiming:
    def test_summary_of_known_times(self, timing):
        summary = timing.summarise([0.3, 0.1, 0.2, 0.5, 0.4])
        assert summary == pytest.approx(
            {'seconds': 0.3, 'lower_quartile': 0.2, 'upper_quartile': 0.4, 'fastest': 0.1}
        )

    def test_ratio_is_of_each_round(self, timing):
        # A round in which the machine was busy does not count for one side alone.
        assert timing.ratio([2.0, 40.0, 2.0], [1.0, 20.0, 1.0]) == pytest.approx(2)

    def test_peak_memory_of_tensors(self, timing):
        kept = []

        def call():
            one = torch.zeros(1000, 100)  # 400,000 bytes
            two = torch.zeros(1000, 50)
            del one
            kept.append(torch.zeros(1000, 10))
            del two

        assert timing.peak_memory(call, CPU) == 600_000

    def test_peak_memory_of_a_backward_pass(self, timing):
        x = torch.ones(1000, requires_grad=True)

        def call():
            x.grad = None
            (x.sin().sin().sin().sum()).backward()

        # Two saved results, one more for the sum, and gradients.
        assert 4 * 4000 <= timing.peak_memory(call, CPU) <= 6 * 4000

    def test_rounds_are_checked(self, benchmark, capsys):
        with pytest.raises(SystemExit):
            benchmark('resource', 'configs/search_scenes.py', '--repeats', 1)
        assert 'expected at least 2' in capsys.readouterr().err

    @pytest.mark.parametrize('option', ['--batch-size', '--loader-iters'])
    def test_sizes_are_checked(self, benchmark, capsys, option):
        with pytest.raises(SystemExit):
            benchmark('train', 'configs/branched_scenes.py', option, 0)
        assert f'{option} 0' in (told := capsys.readouterr().err)
        assert 'expected 1 or more' in told

    def test_share_of_waiting(self):
        runners = importlib.import_module('benchmarking.runners')

        def loader():
            while True:
                time.sleep(0.03)
                yield None

        share = runners.waiting_share(loader(), lambda _: time.sleep(0.01), CPU, 5)
        assert share == pytest.approx(0.75, abs=0.1)

    def test_a_dead_worker_is_named(self):
        runners = importlib.import_module('benchmarking.runners')

        def loader():
            yield None
            raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')

        with pytest.raises(ChildProcessError, match=r'fewer train_dataloader\.num_workers'):
            runners.waiting_share(loader(), lambda _: None, CPU, 5)


SIZE = ['--shape', 64, 64, '--batch-size', 2]
ROUNDS = ['--warmup', 0, '--repeats', 2]


def check_machine(result):
    assert {'command', 'device', 'processor', 'threads', 'torch', 'python'} <= set(result)
    assert result['threads'] == torch.get_num_threads()
    assert 'benchmark.py' in result['command']


@pytest.fixture
def search_config(toys, tmp_path):
    """The config of a small search on the scenes, of two tasks."""
    config = Config.fromfile('configs/search_scenes.py')
    preprocessor, tasks = config.model.data_preprocessor, ['semseg', 'edge']
    config.model = {**toys.search_config(tasks), 'data_preprocessor': preprocessor}
    config.update(tasks=tasks, cost_shape=config.model.cost_shape)
    for name in ('val_evaluator', 'test_evaluator'):
        config[name] = [dict(type='SemSegMetric')]
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    config.dump(tmp_path / 'search.py')
    return tmp_path / 'search.py'


class TestSearch:
    def test_figures(self, benchmark, search_config):
        result = benchmark('search', search_config, *SIZE, *ROUNDS, '--clock', 'cpu')
        check_machine(result)
        assert (result['batch_size'], result['shape']) == (2, [64, 64])
        assert [*result['phases']] == ['warmup', 'arch', 'weights']
        for figures in result['phases'].values():
            for side in ('ours', 'plain'):
                assert figures[side]['seconds'] > 0
                assert figures[side]['images_per_second'] == 2 / figures[side]['seconds']
            ratio = figures['plain']['peak_bytes'] / figures['ours']['peak_bytes']
            assert figures['ratio']['memory'] == ratio
            assert 'waiting_share' not in figures  # the images are made up
        # The folded form keeps products of the input: on images this small, a little more memory.
        assert min(figures['ratio']['memory'] for figures in result['phases'].values()) > 0.9
        # Candidates that do not run in warm-up save memory and time.
        ratios = result['phases']['warmup']['ratio']
        assert ratios['memory'] > 1.1
        assert ratios['time'] > 1.1
        # 2 tasks: at most twice, less for the stem and the decoders.
        assert 1.3 < ratios['madds'] < 2
        assert result['search_ratio'] > 0

    def test_plain_supernet_computes_the_same(self, toys):
        plain = importlib.import_module('benchmarking.plain').PlainSupernet(('a', 'b'), NARROW)
        plain.double()
        ours = toys.supernet(('a', 'b'), NARROW).double()
        ours.load_state_dict(plain.state_dict())
        images = torch.randn(2, 3, 64, 64, dtype=torch.double)
        for mode in ('relaxed', 'warmup', 'argmax'):
            found = []
            for supernet in (ours, plain):
                supernet.set_routing_mode(mode)
                supernet.zero_grad()
                torch.manual_seed(0)
                maps = [x for features in supernet(images).values() for x in features]
                sum(x.square().mean() for x in maps).backward()
                gradients = {
                    name: torch.zeros_like(p) if p.grad is None else p.grad
                    for name, p in supernet.named_parameters()
                }
                found.append((maps, gradients))
            for one, other in zip(*found, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)

    @pytest.mark.parametrize(
        ('encoder', 'convolutions'),
        # Of MobileNetV2: 2 in the first block, 3 in each of 16, then R-ASPP's three.
        [(NARROW, 2 + 3 * 16 + 3), ({'type': 'ResNetEncoder', 'depth': 18}, None)],
        ids=['MobileNetV2', 'ResNet'],
    )
    def test_the_plain_supernet_is_what_the_original_is(self, encoder, convolutions):
        plain = importlib.import_module('benchmarking.plain').PlainSupernet(('a', 'b'), encoder)
        assert not [m for m in plain.modules() if type(m).__name__ == 'ConvModule']
        ran = []

        def note(name, maps):
            ran.append(name)
            assert maps.is_contiguous()  # channels outermost

        for name, module in plain.layers.named_modules():
            if isinstance(module, nn.Conv2d):
                assert type(module) is nn.Conv2d
                module.register_forward_hook(lambda *call, name=name: note(name, call[2]))
        plain.set_routing_mode('warmup')
        images = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
        plain(images, ['a'])
        # Each candidate of each layer, also those whose weight is 0.
        assert len(ran) == len({*ran})
        if convolutions is not None:
            assert len(ran) == 2 * convolutions
        assert {name.split('.')[1] for name in ran} == {'0', '1'}

    def test_table_with_the_waiting_for_real_images(self, benchmark, search_config, scenes_roots):
        words = ['--phases', 'warmup', '--loader-iters', 2, '--batch-size', 2]
        options = ['--cfg-options', f'data_root={scenes_roots["pascal"]}']
        text = benchmark('search', search_config, *words, *ROUNDS, *options, as_json=False)
        assert 'batch 2, 64 x 64' in text
        (line,) = (line for line in text.splitlines() if line.startswith('warmup'))
        assert 0 < float(line.split()[-1].rstrip('%')) < 100
        assert 'Architecture and weights together' not in text

    def test_table_of_memory(self, benchmark, search_config):
        words = ['--batch-size', 3, '--phases', 'arch', '--shape', 32, 32]
        text = benchmark('memory', search_config, *words, as_json=False)
        assert '2 tasks, of them semseg in turn, batch 3, 32 x 32; MB' in text
        kept, beyond = (float(line.split()[-1]) for line in text.splitlines()[-2:])
        assert kept > 0
        assert beyond > 0

    @pytest.mark.slow
    def test_memory_of_one_task_is_that_of_all(self, benchmark, search_config):
        words = ['--batch-size', 4, '--phases', 'weights', '--shape', 64, 64]
        result = benchmark('memory', search_config, *words)
        check_machine(result)
        full = benchmark('search', search_config, *words, *ROUNDS)
        peak = full['phases']['weights']['ours']['peak_bytes']
        assert result['peak_bytes']['weights'] == pytest.approx(peak, rel=0.05)
        with_cp = ['--cfg-options', 'model.backbone.with_cp=True']
        less = benchmark('memory', search_config, *words, *with_cp)
        assert less['peak_bytes']['weights'] < 0.7 * result['peak_bytes']['weights']
        assert less['kept_bytes'] == result['kept_bytes'] > 0

    def test_plain_resource_loss(self, search_config):
        """Where the paper has one; elsewhere both sides have the same."""
        search = importlib.import_module('benchmarking.search')

        def plain_loss(**options):
            cfg = Config.fromfile(search_config)
            cfg.model.resource_loss.update(options)
            search.make_plain(cfg)
            return cfg.model.resource_loss

        loss = MODELS.build(plain_loss(expectation='exact', weight=2.0))
        probs = torch.randn(3, 4, 4).softmax(-1)
        expected = 2 * recursive_expected_madds(probs, [1.0, 2.0, 3.0])
        torch.testing.assert_close(loss(probs, [1e9, 2e9, 3e9]), expected)
        for options in ({'expectation': 'sampled'}, {'latency': 'latency.json'}):
            assert plain_loss(**options).type == 'ResourceLoss'

    @pytest.mark.parametrize('part', ['search', 'train'])
    def test_data_is_looked_at_first(
        self, benchmark, search_config, scenes_roots, tmp_path, capsys, monkeypatch, part
    ):
        root = Path(shutil.copytree(scenes_roots['pascal'], tmp_path / 'scenes'))
        for label in (root / 'semseg').rglob('train_*'):
            label.unlink()
        module = importlib.import_module(f'benchmarking.{part}')
        monkeypatch.setattr(module, 'interleave', None)
        config = search_config if part == 'search' else 'configs/branched_scenes.py'
        with pytest.raises(SystemExit):
            benchmark(part, config, '--batch-size', 2, '--cfg-options', f'data_root={root}')
        (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith('error: '))
        assert 'semseg' in line

    @pytest.mark.slow  # tracing takes long
    def test_options_of_layout_and_compiler(self, benchmark, search_config):
        options = ['--channels-last', '--compile', 'eager', '--phases', 'weights']
        result = benchmark('search', search_config, *SIZE, *ROUNDS, *options)
        assert (result['channels_last'], result['compile']) == (True, 'eager')
        assert result['phases']['weights']['ours']['seconds'] > 0

    def test_graphs(self, benchmark, search_config, pretence):
        """They are of GPUs: here of a pretended one, and refused without."""
        with pretence.pretend_gpu():
            options = ['--graphs', '--phases', 'arch', *ROUNDS]
            result = benchmark('search', search_config, *SIZE, *options)
        assert result['graphs']
        assert result['phases']['arch']['ours']['seconds'] > 0

    def test_graphs_are_refused_on_a_cpu(self, benchmark, search_config, capsys):
        with pytest.raises(SystemExit):
            benchmark('search', search_config, *SIZE, '--graphs')
        assert 'train_cfg.graphs=True records CUDA graphs' in capsys.readouterr().err

    def test_an_unknown_compiler_is_refused(self, benchmark, search_config, capsys):
        with pytest.raises(SystemExit):
            benchmark('search', search_config, *SIZE, '--compile', 'gcc')
        assert "--compile gcc: expected one of ['" in capsys.readouterr().err

    def test_another_config_is_refused(self, benchmark, capsys):
        with pytest.raises(SystemExit):
            benchmark('search', 'configs/branched_scenes.py')
        assert 'name the config of a search' in capsys.readouterr().err


class TestProfile:
    @pytest.fixture
    def shares(self):
        operators = importlib.import_module('benchmarking.operators')
        return lambda call: operators.shares(call, CPU, warmup=1, repeats=2)

    def test_shares_of_known_operators(self, shares):
        def assert_all(found, kind, way):
            """Up to what else takes time on a busy machine."""
            assert found[kind][way] > 0.6
            assert all(sum(found[k].values()) == 0 for k in {*found} - {kind, 'others'})

        conv = nn.Conv2d(32, 32, 3)
        x = torch.randn(8, 32, 64, 64, requires_grad=True)
        with torch.no_grad():
            assert_all(shares(lambda: conv(x)), 'convolutions', 'forward')
            assert_all(shares(lambda: torch.cat([x, x])), 'joining', 'forward')
            y = x.clone()
            assert_all(shares(lambda: relu6_(y)), 'activations', 'forward')
        # Backwards alone, through what ran forwards before.
        y, grad = conv(x), torch.ones(8, 32, 62, 62)
        found = shares(lambda: torch.autograd.grad(y, x, grad, retain_graph=True))
        assert_all(found, 'convolutions', 'backward')
        y, grad = nn.functional.relu(x), torch.ones_like(x)
        found = shares(lambda: torch.autograd.grad(y, x, grad, retain_graph=True))
        assert_all(found, 'activations', 'backward')

    def test_figures(self, benchmark, search_config):
        words = ['--phases', 'arch', '--warmup', 0, '--repeats', 1, '--amp']
        result = benchmark('profile', search_config, *words, *SIZE)
        check_machine(result)
        (found,) = result['phases'].values()
        assert sum(sum(ways.values()) for ways in found.values()) == pytest.approx(1)
        for kind in ('convolutions', 'normalisations', 'activations', 'joining'):
            assert min(found[kind].values()) > 0
        assert found['optimisers']['forward'] > found['optimisers']['backward'] == 0
        text = importlib.import_module('benchmarking.operators').format_table(result)
        assert '2 tasks, batch 2, 64 x 64, mixed precision; shares' in text
        rows = [line.split()[1:] for line in text.splitlines()[3:]]
        total = sum(float(cell.rstrip('%')) for cells in rows for cell in cells)
        assert total == pytest.approx(100, abs=0.6)  # rounded


class TestLayers:
    def test_figures(self, benchmark, search_config):
        words = [*SIZE, *ROUNDS, '--layers', 0, 5, '--clock', 'cpu']
        result = benchmark('layers', search_config, *words)
        check_machine(result)
        assert [*result['layers']] == ['0', '5']
        sizes = {index: layer['input'] for index, layer in result['layers'].items()}
        assert sizes == {'0': [2, 8, 32, 32], '5': [2, 8, 8, 8]}  # strides 2 and 8
        for layer in result['layers'].values():
            for phase in ('arch', 'weights'):
                names = ['plain', 'channels_last', 'wide', 'operations', 'apart', 'folded']
                assert [*layer[phase]] == names[: 5 if layer['name'] == 'layer1.0' else 6]
                assert layer[phase]['plain']['ratio'] == 1
                assert all(found['seconds'] > 0 < found['ratio'] for found in layer[phase].values())

    def test_table(self, benchmark, search_config):
        words = [*SIZE, *ROUNDS, '--layers', 17, '--phases', 'arch', '--amp']
        text = benchmark('layers', search_config, *words, as_json=False)
        assert '2 tasks, wall clock, mixed precision' in text
        assert text.splitlines()[-1].startswith('17 context')
        assert '2 x 80 x 4 x 4     arch' in text

    def test_a_layer_too_many_is_refused(self, benchmark, search_config, capsys):
        with pytest.raises(SystemExit):
            benchmark('layers', search_config, '--layers', 3, 18, *SIZE)
        assert '--layers [3, 18]: expected some of 0 to 17' in capsys.readouterr().err

    def test_all_ways_compute_the_same(self, toys):
        layers = importlib.import_module('benchmarking.layers')
        supernet = toys.supernet(('a', 'b'), NARROW).double()
        for candidates, x in zip(
            supernet.layers,
            layers.layer_inputs(supernet, torch.randn(2, 3, 64, 64, dtype=torch.double)),
            strict=True,
        ):
            weights = torch.tensor([0.3, 0.7], dtype=torch.double, requires_grad=True)
            ways = layers.ways(candidates, x)
            assert len(ways) >= 4
            found = []
            for mixture, memory_format in ways.values():
                y = mixture(x.contiguous(memory_format=memory_format), weights)
                found.append((y, *torch.autograd.grad(y.square().sum(), weights)))
            for other in found[1:]:
                torch.testing.assert_close(other, found[0], rtol=1e-7, atol=1e-9)

    def test_blocks_that_do_not_run_as_one(self, toys):
        layers = importlib.import_module('benchmarking.layers')
        candidates = nn.ModuleList(nn.Conv2d(2, 2, 3, groups=1) for _ in 'ab')
        assert [*layers.ways(candidates, torch.zeros(1, 2, 4, 4))] == ['plain', 'channels_last']


class TestTrainAndInfer:
    @pytest.fixture
    def shared(self, tmp_path):
        """Options of a tree that shares all layers, and a file to write to."""
        tree = BranchedArchitecture.load('configs/architectures/scenes.json')
        tree = BranchedArchitecture.shared(tree.tasks, tree.encoder, tree.num_layers)
        tree.save(tmp_path / 'tree.json')
        return ['--cfg-options', f'architecture={tmp_path}/tree.json']

    def check(self, result):
        check_machine(result)
        assert result['plain']['madds'] > result['ours']['madds']
        expected = result['plain']['madds'] / result['ours']['madds']
        assert result['ratio']['madds'] == pytest.approx(expected)
        assert result['ratio']['time'] > 1.2  # five encoders in place of one

    @pytest.mark.slow
    def test_train(self, benchmark, shared):
        result = benchmark('train', 'configs/branched_scenes.py', *SIZE, *ROUNDS, *shared)
        self.check(result)
        assert result['ratio']['memory'] > 0
        assert 'waiting_share' not in result['ours']  # the images are made up

    @pytest.mark.slow
    def test_train_on_real_images(self, benchmark, shared, scenes_roots):
        options = [*shared, f'data_root={scenes_roots["pascal"]}', 'train_dataloader.num_workers=0']
        options.append('train_dataloader.persistent_workers=False')
        words = ['--batch-size', 2, '--loader-iters', 2, *ROUNDS, *options]
        text = benchmark('train', 'configs/branched_scenes.py', *words, as_json=False)
        (line,) = (line for line in text.splitlines() if line.startswith('this network'))
        assert 0 < float(line.split()[-1].rstrip('%')) < 100

    def test_infer(self, benchmark, shared, tmp_path):
        out = tmp_path / 'out.json'
        words = ['--shape', 64, 64, '--batch-size', 3, *ROUNDS, '--out', out]
        result = benchmark('infer', 'configs/branched_scenes.py', *words, *shared)
        self.check(result)
        assert result['ours']['images_per_second'] == 3 / result['ours']['seconds']
        assert min(result[name]['peak_bytes'] for name in ('plain', 'shared', 'ours')) > 0
        assert result['shared']['madds'] == result['ours']['madds']
        assert result['ours']['madds_share'] == pytest.approx(1 / result['ratio']['madds'])
        assert result['plain']['time_share'] == 1
        assert json.loads(out.read_text()) == result

    def test_the_tree_by_a_latency_table(self, benchmark, toys, tmp_path, capsys):
        tree = BranchedArchitecture.load('configs/architectures/scenes.json')
        table = toys.latency_table(tree.tasks, tree.encoder, (32, 48))
        (tmp_path / 'l.json').write_text(json.dumps(table))
        words = ['configs/branched_scenes.py', *ROUNDS, '--latency', tmp_path / 'l.json']
        words += ['--fuse-conv-bn', '--channels-last']
        text = benchmark('infer', *words, '--shape', 32, 48, as_json=False)
        assert f'{LatencyTable.from_dict(table).tree(tree):.2f}' in text
        assert 'normalisations folded, channels last' in text
        for change, message in (
            ({'shape': [48, 32]}, 'another input size'),
            ({'measured': {'channels_last': False}}, 'measured with channels_last False'),
        ):
            (tmp_path / 'l.json').write_text(json.dumps(table | change))
            with pytest.raises(SystemExit):
                benchmark('infer', *words, '--shape', 32, 48)
            assert message in capsys.readouterr().err

    def test_an_exported_network(self, benchmark, toys, tmp_path, capsys):
        pytest.importorskip('onnxruntime')
        config = toys.branched_config(('semseg', 'depth'), toys.TINY)
        network = toys.build({**config, 'data_preprocessor': PREPROCESSOR}).eval()
        exported = deploy.export_network(network, {}, dynamic=True)
        exported.write(tmp_path / 'a.onnx')
        tree = network.backbone.architecture
        table = toys.latency_table(tree.tasks, tree.encoder)
        how = {'backend': 'onnxruntime', 'precision': 'float32', 'clock': 'wall'}
        (tmp_path / 'l.json').write_text(json.dumps(table | {'measured': how}))
        words = ['infer', tmp_path / 'a.onnx', *ROUNDS]
        result = benchmark(*words, '--latency', tmp_path / 'l.json')
        assert result['shape'] == [64, 64]
        assert result['ours']['seconds'] > 0
        assert result['ours']['madds'] == network.measure_network((64, 64)).madds
        assert result['ours']['table_ms'] == LatencyTable.from_dict(table).tree(tree)
        text = benchmark(*words, '--shape', 32, 48, '--batch-size', 2, as_json=False)
        assert '2 tasks, float32, batch 2, 32 x 48, wall clock' in text
        for change, message in (
            (how | {'backend': 'torch'}, 'measured with backend torch, expected onnxruntime'),
            (how | {'precision': 'int8'}, 'measured with precision int8, expected float32'),
        ):
            (tmp_path / 'l.json').write_text(json.dumps(table | {'measured': change}))
            with pytest.raises(SystemExit):
                benchmark(*words, '--latency', tmp_path / 'l.json')
            assert message in capsys.readouterr().err
        with pytest.raises(SystemExit):
            benchmark(*words, '--fuse-conv-bn')
        assert '--fuse-conv-bn has no effect' in capsys.readouterr().err

    def test_networks_without_a_tree_are_timed_alone(self, benchmark):
        config = 'configs/exchange/mtan_scenes.py'
        text = benchmark('infer', config, '--shape', 32, 32, *ROUNDS, as_json=False)
        assert 'this network' in text
        assert 'a network for each task' not in text


class TestData:
    def test_files_and_cache(self, benchmark, scenes_roots, tmp_path):
        root = tmp_path / 'scenes'
        root.symlink_to(scenes_roots['pascal'])
        options = ['--number', 2, '--repeats', 2, '--batches', 2, '--workers', 0]
        options += ['--cfg-options', f'data_root={root}', 'train_dataloader.batch_size=3']
        without = benchmark('data', 'configs/search_scenes.py', *options)
        check_machine(without)
        assert without['images'] == 2
        assert without['ratio'] == {}
        assert without['loader']['images_per_second'] > 0
        assert {*without['loader']['processor_seconds']} == {'main'}
        write_cache(PascalContextMT, root, tmp_path / 'scenes.cache')
        result = benchmark('data', 'configs/search_scenes.py', *options)
        seconds = result['seconds']['until_augmentation']
        assert result['ratio']['until_augmentation'] == seconds['plain'] / seconds['ours'] > 1
        assert result['seconds']['whole']['plain'] > 0
        # A worker loads; the main process takes over.
        options[options.index('--workers') + 1] = 1
        seconds = benchmark('data', 'configs/search_scenes.py', *options)['loader']
        assert seconds['workers'] == 1
        assert {*seconds['processor_seconds']} == {'main', 'workers'}
        assert min(seconds['processor_seconds'].values()) > 0


class TestResource:
    def test_exact_and_recursion(self, benchmark):
        result = benchmark('resource', 'configs/search_scenes.py', '--tasks', 3, *ROUNDS)
        check_machine(result)
        assert (result['tasks'], result['layers']) == (3, 18)
        assert result['ratio'].keys() == {'time', 'recursive'}
        for form in ('plain', 'recursive', 'ours', 'latency', 'sampled'):
            assert result[form]['seconds'] > 0
            assert result[form]['startup'] >= 0

    @pytest.mark.parametrize('num_tasks', [1, 2, 4])
    def test_plain_recursion_computes_the_same(self, num_tasks):
        plain = importlib.import_module('benchmarking.plain').PlainRecursion(num_tasks)
        logits = torch.randn(6, num_tasks, num_tasks, dtype=torch.float64).requires_grad_()
        madds = [3.0, 1.0, 2.0, 5.0, 4.0, 1.0]
        values = [f(logits.softmax(-1), madds) for f in (plain, recursive_expected_madds)]
        torch.testing.assert_close(*values)
        slopes = (torch.autograd.grad(value, logits)[0] for value in values)
        torch.testing.assert_close(*slopes)

    def test_more_tasks_than_the_recursion_takes(self, benchmark):
        result = benchmark('resource', 'configs/search_scenes.py', '--tasks', 8, *ROUNDS)
        assert 'plain' not in result
        assert result['ours']['seconds'] > 0

    def test_more_tasks_than_any_exact_form_takes(self, benchmark):
        words = ['configs/search_scenes.py', '--tasks', 17, *ROUNDS]
        text = benchmark('resource', *words, as_json=False)
        assert 'sampled' in text
        assert 'exact' not in text
