"""Networks on a GPU, mostly a pretended one: the CPU's numbers, no mixture of devices, few waits.

``tests/pretend_gpu.py`` is what pretends. Numbers are compared in double precision, where the order
of sums, which devices choose, does not tell.
"""

import copy
import importlib
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from mmbmtas.apis.prediction import Prediction
from mmbmtas.comparison.affinity import image_error
from mmbmtas.evaluation.metrics.base import to_numpy
from mmbmtas.models.backbones import BranchedSupernet
from mmbmtas.models.backbones.branched_supernet import _run_layer
from mmbmtas.visualization import sample_columns

TASKS = ('semseg', 'edge')


@pytest.fixture
def _same_noise(monkeypatch):
    """Draw the noise of the routing on the CPU, wherever it is needed."""

    def sample_routing(self, task):
        row = self.arch_params[:, self.tasks.index(task)]
        noise = -torch.empty(row.shape, dtype=row.dtype).exponential_().log()
        return ((row + noise.to(row.device)) / self.tau).softmax(dim=-1)

    monkeypatch.setattr(BranchedSupernet, 'sample_routing', sample_routing)


def step(model, images, samples, **options):
    """A forward and a backward pass; its losses and gradients."""
    torch.manual_seed(0)
    total, log = model.parse_losses(model(images, samples, mode='loss', **options))
    total.backward()
    found = {f'{name} in the log': value.detach() for name, value in log.items()}
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | {f'gradient of {name}': gradient for name, gradient in grads.items()}


def compare(gpu, run, module, images, samples=()):
    """Run on both devices; say where the CPU waited for the GPU."""
    twin = copy.deepcopy(module)
    expected = run(module, images, samples)
    with gpu() as waits:
        twin.to('cuda')
        there = images.to('cuda'), [sample.to('cuda') for sample in samples]
        waits.clear()
        found = run(twin, *there)
        waits = Counter(waits)
    assert {value.is_cuda for name, value in found.items() if 'in the log' not in name} == {True}
    found = {name: value.cpu() for name, value in found.items()}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    return waits


def doubled(toys, config, tasks=TASKS):
    """A network in double precision that trains, and a batch."""
    model = toys.build(config)
    _ = model.measure_cost() if not hasattr(model, 'network_cost') else model.network_cost
    images, samples = toys.batch(tasks, (32, 32))
    return model.double().train(), images.double(), samples


def searched(toys, mode='relaxed', routing=None, with_cp=False, balancing=None, **resource):
    if resource.pop('latency', False):
        resource['latency'] = toys.latency_table(TASKS, toys.TINY)
    config = toys.search_config(TASKS, toys.TINY, **resource)
    config['backbone'] |= {'routing': routing, 'with_cp': with_cp}
    model, *batch = doubled(toys, {**config, 'loss_balancing': balancing})
    model.backbone.set_routing_mode(mode)
    nn.init.normal_(model.backbone.arch_params)
    return model, *batch


@pytest.mark.parametrize(
    'options',
    [
        {'mode': 'warmup', 'balancing': {'type': 'UncertaintyWeighting'}},
        {'mode': 'argmax', 'weight': 0, 'balancing': {'type': 'GradNorm'}},
        {'balancing': {'type': 'DynamicWeightAverage', 'window': 1}},
        {'routing': {'type': 'HardRouting'}, 'expectation': 'recursive'},
        {'routing': {'type': 'TopKRouting'}, 'with_cp': True},
        {'target_madds': 4e5, 'budgeted': 'argmax'},
        {'routing': {'type': 'ThresholdRouting', 'threshold': 0.2}, 'expectation': 'sampled'},
        {'latency': True},
        {'latency': True, 'expectation': 'sampled', 'target_latency_ms': 10, 'budgeted': 'argmax'},
    ],
    ids=str,
)
@pytest.mark.usefixtures('_same_noise')
def test_search(toys, gpu, pretence, options):
    if options.get('expectation') == 'sampled' and gpu is pretence.real_gpu:
        pytest.skip('GPUs draw other numbers')
    compare(gpu, step, *searched(toys, **options))


@pytest.mark.slow
@pytest.mark.parametrize(('phase', 'least'), [('warmup', 4.5), ('arch', 3.2), ('weights', 3.5)])
def test_how_much_a_task_launches(toys, pretence, monkeypatch, phase, least):
    """Small networks keep a GPU waiting for launches: candidates as one need far fewer."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / 'benchmarks'))
    importlib.import_module('benchmarking.plain')
    counts = {}
    for kind in ('BranchedSupernet', 'PlainSupernet'):
        config = toys.search_config(toys.SIX[:5], toys.MOBILENET)
        config['backbone']['type'] = kind
        model = toys.build(config)
        model.backbone.set_routing_mode('warmup' if phase == 'warmup' else 'relaxed')
        model.requires_grad_(phase != 'arch').backbone.arch_params.requires_grad_(phase == 'arch')
        for norm in model.backbone.layers.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.track_running_stats = phase != 'arch'
        images, samples = toys.batch(['saliency'], (32, 32))
        with pretence.pretend_gpu():
            model.to('cuda').train()
            there = images.to('cuda'), [sample.to('cuda') for sample in samples]
            pretence.launched.clear()
            step(model, *there, tasks=['saliency'])
            counts[kind] = pretence.launched.total()
    assert counts['PlainSupernet'] / counts['BranchedSupernet'] > least, counts


@pytest.mark.parametrize('layer', [0, 2, 17])
def test_candidates_as_one(toys, gpu, layer):
    """The first layer, one with a residual, and the context module."""
    candidates = toys.supernet(['a', 'b', 'c'], toys.MOBILENET).layers[layer].double()
    channels = next(m for m in candidates.modules() if isinstance(m, nn.Conv2d)).in_channels
    x = torch.randn(2, channels, 8, 8, dtype=torch.float64)

    def run(candidates, x, _):
        z = x.flatten()[:3].softmax(dim=0).requires_grad_()
        y = _run_layer(candidates, dict(enumerate(z)), x)
        y.square().mean().backward()
        state = dict(candidates.state_dict())
        return {'y': y.detach(), 'z': z.grad, **state} | {
            f'gradient of {name}': p.grad for name, p in candidates.named_parameters()
        }

    assert not compare(gpu, run, candidates, x)


@pytest.mark.parametrize('layer', [0, 2, 17])
def test_candidates_as_one_in_half_precision(toys, gpu, layer):
    """Normalisations keep weights and statistics in single precision."""
    candidates = toys.supernet(['a', 'b', 'c'], toys.MOBILENET).layers[layer]
    channels = next(m for m in candidates.modules() if isinstance(m, nn.Conv2d)).in_channels
    x = torch.randn(2, channels, 8, 8)

    def run(candidates, x):
        z = x.flatten()[:3].float().softmax(dim=0).requires_grad_()
        y = _run_layer(candidates, dict(enumerate(z)), x)
        slopes = torch.arange(y.numel(), device=y.device).sin().view(y.shape)
        (y.float() * slopes).sum().backward()
        return y, [z.grad.cpu(), *(p.grad.cpu() for p in candidates.parameters())]

    twin = copy.deepcopy(candidates)
    expected, gradients = run(candidates, x)
    with gpu(), torch.autocast('cuda', dtype=torch.float16):
        found, others = run(twin.to('cuda'), x.to('cuda').half())
        assert found.dtype == torch.float16
        found = found.detach().float().cpu()
    torch.testing.assert_close(found, expected.detach(), rtol=0.02, atol=0.02)
    largest = max(float(gradient.abs().max()) for gradient in gradients)
    torch.testing.assert_close(others, gradients, rtol=0, atol=0.05 * largest)
    torch.testing.assert_close(
        *({n: b.float().cpu() for n, b in m.named_buffers()} for m in (twin, candidates)),
        rtol=0.01,
        atol=0.01,
    )


@pytest.mark.parametrize('method', ['tree', 'CrossStitchNetwork', 'NDDRCNN', 'MTAN'])
def test_other_networks(toys, gpu, method):
    tasks = ('normals',) if method == 'MTAN' else ('human_parts', 'saliency', 'depth')
    if method == 'tree':
        config = toys.branched_config(tasks, toys.TINY)
    else:
        encoder = toys.MOBILENET if method == 'MTAN' else toys.TINY
        config = toys.exchange_config(method, tasks, encoder)
    config['backbone']['dropout'] = 0.0  # GPUs draw other numbers

    def run(model, images, samples):
        found = step(model, images, samples)
        for sample in model.eval().predict(images, samples):
            found |= {f'pred_{t}': sample.get(f'pred_{t}').data.detach() for t in tasks}
        return found

    compare(gpu, run, *doubled(toys, config, tasks))


def test_predictions_leave_the_gpu(toys, gpu):
    """For metrics, pictures, arrays, and the errors by which FAFS groups."""
    model, images, samples = doubled(toys, toys.branched_config(toys.SIX, toys.TINY), toys.SIX)
    with gpu():
        model.to('cuda').eval()
        samples = [sample.to('cuda') for sample in samples]
        with torch.no_grad():
            sample, *_ = model.predict(images.to('cuda'), samples)
        assert {to_numpy(part.data).shape[1:] for _, part in sample.items()} == {(32, 32)}
        assert len(sample_columns(sample)) == len(toys.SIX)
        arrays = Prediction(torch.zeros(32, 32, 3, dtype=torch.uint8).numpy(), sample, {}).arrays()
        assert {*arrays} == {*toys.SIX}
        for task, head in model.decode_heads.items():
            assert image_error(task, head, sample) > 0


@pytest.mark.parametrize('kind', ['path_config', 'path_search_config'])
def test_networks_of_domains(gpu, toys, kind):
    """A step on images of two domains: no wait but those of the loss's own checks."""
    domains = {'digits': ['digits'], 'rooms': ['semseg']}
    config = {**getattr(toys, kind)(domains), 'loss_balancing': {'type': 'ABDP'}}
    model = toys.build(config).double().train()
    images, samples = toys.domain_batch(domains, (32, 32))
    waits = compare(gpu, step, model, images.double(), samples)
    ours = {where for where in waits if 'domain' in where or 'encode' in where}
    assert not ours, waits


def test_the_quality_of_paths(gpu, toys):
    domains = {'digits': ['digits'], 'rooms': ['semseg', 'depth'], 'roads': ['edge', 'normals']}
    model = toys.build(toys.path_search_config(domains)).double().train()
    paths = model.sample_paths(torch.Generator().manual_seed(0))
    images, samples = toys.domain_batch(domains, (32, 32))
    expected = model.quality(images.double(), samples, paths)
    twin = copy.deepcopy(model)
    with gpu():
        twin.to('cuda')
        found = twin.quality(
            images.double().to('cuda'), [sample.to('cuda') for sample in samples], paths
        )
    assert found == pytest.approx(expected, rel=1e-6)
