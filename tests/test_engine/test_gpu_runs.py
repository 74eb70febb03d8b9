"""Twenty iterations of a search and of a retraining on a GPU, beside the CPU and after a stop.

``make test-gpu`` runs them on the real one of this machine, all others on a pretended one.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmbmtas.models.backbones import branched_supernet

TASKS = ('semseg', 'edge')
CHECKPOINTS = {'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 10}}
TOLERANCE = {'float32': 0.01, 'float16': 0.1, 'bfloat16': 0.4}
"""How far all updates together may differ from those of the CPU in single precision, as a share.

The network has few layers: over deep ones, small batches let roundings grow to any size.
"""


@pytest.fixture(autouse=True)
def _same_draws(monkeypatch):
    """Draw the noise of the routing on the CPU, so that both devices see the same."""

    def draw(logits, tau, dim):
        noise = -torch.empty(logits.shape).exponential_().log()
        return F.softmax((logits + noise.to(logits.device)) / tau, dim=dim)

    drawing = type('functional', (), {**vars(F), 'gumbel_softmax': staticmethod(draw)})
    monkeypatch.setattr(branched_supernet, 'F', drawing)


def wrapper(precision, **optimizer):
    if precision == 'float32':
        return {'type': 'OptimWrapper', 'optimizer': optimizer}
    # A scale that no gradient of these networks overflows, so that no step is left out.
    scale = {'loss_scale': {'init_scale': 256.0}} if precision == 'float16' else {}
    return {'type': 'AmpOptimWrapper', 'dtype': precision, 'optimizer': optimizer, **scale}


@pytest.fixture
def search(toys, search_runner, tmp_path):
    """Build a search of 20 iterations: 5 of warm-up, then 2 of the architecture and 3 in turn."""

    def make(name, precision='float32', **options):
        runner = search_runner(
            tmp_path / name,
            model=toys.search_config(TASKS, toys.TINY, weight=1e-3),
            loop={'weight_iters': 14, 'warmup_iters': 5},
            optim_wrapper={
                'constructor': 'SearchOptimWrapperConstructor',
                'weights': wrapper(precision, type='SGD', lr=0.005, momentum=0.9),
                'arch_params': wrapper(precision, type='SGD', lr=0.1),
            },
            default_hooks=CHECKPOINTS,
            **options,
        )
        assert runner.train_loop.max_iters == 20
        return runner

    return make


@pytest.fixture
def retraining(toys, make_runner, tmp_path):
    """Build a retraining of 20 iterations."""

    def make(name, precision='float32', **options):
        model = toys.branched_config(TASKS, toys.TINY)
        model['backbone']['dropout'] = 0.0  # devices draw different numbers
        return make_runner(
            tmp_path / name,
            model,
            {'type': 'IterBasedTrainLoop', 'max_iters': 20},
            wrapper(precision, type='SGD', lr=0.01, momentum=0.9),
            loader={'sampler': {'type': 'InfiniteSampler', 'shuffle': True}},
            default_hooks=CHECKPOINTS,
            **options,
        )

    return make


@pytest.fixture(params=['search', 'retraining'])
def make(request):
    return request.getfixturevalue(request.param)


def train(runner):
    """Train; return all parameters before and after, on the CPU, and the first layer's type."""
    computed = set()
    first = next(m for m in runner.model.modules() if isinstance(m, nn.Conv2d))
    first.register_forward_hook(lambda *call: computed.add(call[-1].dtype))
    runner.model.init_weights()
    before = flat(runner.model)
    runner.train()
    return before, flat(runner.model), computed


def flat(model):
    return torch.cat([p.detach().cpu().float().flatten() for p in model.parameters()])


def difference(one, other):
    """Size of the difference between two runs' updates, as a share of the second's."""
    assert torch.equal(one[0], other[0])
    update = other[1] - other[0]
    assert update.norm() > 0
    return float((one[1] - other[1]).norm() / update.norm())


@pytest.mark.parametrize('precision', TOLERANCE)
def test_a_run_a_resumed_one_and_one_on_the_cpu(gpu, make, tmp_path, pretence, precision):
    with gpu():
        runner = make('whole', precision)
        whole = train(runner)
        assert {p.device.type for p in runner.model.parameters()} == {'cuda'}
        half = str(tmp_path / 'whole' / 'iter_10.pth')
        resumed = train(make('resumed', precision, load_from=half, resume=True))
    cpu = train(make('cpu'))
    assert (whole[2], cpu[2]) == ({getattr(torch, precision)}, {torch.float32})
    assert difference(whole, cpu) < TOLERANCE[precision]
    # Real GPUs add up in any order.
    exact = gpu is pretence.pretend_gpu
    assert difference(resumed, whole) <= (0 if exact else TOLERANCE[precision])
