"""Searches whose passes are recorded as CUDA graphs: equal to others, and refused where they lie.

The pretended GPU repeats what was recorded on the memory that it was recorded on, refuses waits and
copies from the CPU meanwhile, and draws its random numbers anew.
"""

import functools

import pytest
import torch
from mmengine.hooks import Hook

from mmbmtas.engine.runner import iteration_graphs
from mmbmtas.engine.runner.iteration_graphs import IterationGraphs
from mmbmtas.errors import InputError

TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.005, 'momentum': 0.9}}


@pytest.fixture
def _one_warm_up(monkeypatch):
    """Warm up once where that is a matter of Python alone."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(iteration_graphs, '_WARM_UPS', 1)


class Losses(Hook):
    """Keeps what each iteration has logged."""

    def __init__(self):
        self.found = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.found.append({name: float(value) for name, value in outputs.items()})


def search(build, work_dir, model, graphs, loop=None, **options):
    """Search; give the losses of all iterations, parameters and buffers."""
    losses = Losses()
    runner = build(
        work_dir,
        model=model,
        loop={'weight_iters': 4, 'warmup_iters': 1, 'graphs': graphs, **(loop or {})},
        default_hooks={'gradients': {'type': 'NonFiniteGradientHook'}},
        **options,
    )
    runner.register_hook(losses)
    runner.train()
    state = {name: value.cpu() for name, value in runner.model.state_dict().items()}
    return losses.found, state


@pytest.mark.usefixtures('_one_warm_up')
@pytest.mark.parametrize('encoder', ['TINY', pytest.param('MOBILENET', marks=pytest.mark.slow)])
def test_replayed_iterations_equal_others(toys, gpu, pretence, search_runner, tmp_path, encoder):
    """All phases, their temperatures, rates, statistics and random numbers."""
    model = toys.search_config(TASKS, getattr(toys, encoder), weight=1.0)
    exact = gpu is pretence.pretend_gpu
    found = []
    for graphs in (True, False):
        with gpu():
            found.append(search(search_runner, tmp_path / str(graphs), model, graphs))
    assert len(found[0][0]) > 4
    # Real GPUs add up in any order, and deep networks let roundings grow.
    rtol = 1e-5 if exact else 0.05
    for ours, other in zip(found[0][0], found[1][0], strict=True):
        assert ours == pytest.approx(other, rel=rtol)
    if exact:
        torch.testing.assert_close(dict(found[0][1]), dict(found[1][1]), rtol=1e-4, atol=1e-5)


def differentiate(model, batch):
    """The pass of an architecture phase for one task."""
    losses = model(**batch, mode='loss', tasks=['edge'], with_resource_loss=True)
    total, log = model.sum_losses(losses)
    total.backward()
    return {name: value.detach() for name, value in log.items()}


@pytest.mark.usefixtures('_one_warm_up')
def test_a_pass_of_wide_layers(toys, pretence):
    """Another batch and temperature than those it was recorded with; then nothing is launched."""
    model = toys.build(toys.search_config(('semseg', 'edge'), toys.MOBILENET, weight=1.0))
    images, samples = toys.batch(('semseg', 'edge'), (32, 32))
    with pretence.pretend_gpu():
        model.to('cuda').train()
        batch = {'inputs': images.to('cuda'), 'data_samples': [x.to('cuda') for x in samples]}
        other = {**batch, 'inputs': batch['inputs'].flip(0), 'data_samples': [*samples[::-1]]}
        other['data_samples'] = [x.to('cuda') for x in samples[::-1]]
        graphs = IterationGraphs(model)
        run = functools.partial(
            graphs.run, ('arch', 'edge'), differentiate=functools.partial(differentiate, model)
        )
        before = {name: value.cpu() for name, value in model.named_buffers()}
        graphs._load(batch)
        graphs._recorded['arch', 'edge'] = graphs._record(
            ('arch', 'edge'), run.keywords['differentiate']
        )
        after = {name: value.cpu() for name, value in model.named_buffers()}
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        model.backbone.tau = 0.7
        found = []
        for replayed in (True, False):
            torch.manual_seed(3)
            pretence.launched.clear()
            log = run(other) if replayed else differentiate(model, other)
            launched = pretence.launched.total()
            if replayed:
                assert launched <= 2, pretence.launched  # the batch and the temperature
            grads = {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
            found.append(({name: value.cpu() for name, value in log.items()}, grads))
            graphs._take_gradients()
            for name, buffer in model.named_buffers():
                buffer.copy_(before[name])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
    assert found[0][1]['backbone.arch_params'].abs().max() > 0


class TestRefusals:
    @pytest.mark.parametrize(
        ('change', 'told'),
        [
            ({'routing': {'type': 'TopKRouting'}}, 'model.backbone.routing TopKRouting chooses'),
            ({'with_cp': True}, 'model.backbone.with_cp=True'),
            ({'loss_balancing': {'type': 'GradNorm'}}, 'model.loss_balancing GradNorm'),
        ],
        ids=['routing', 'with_cp', 'balancing'],
    )
    def test_networks_that_decide_on_the_cpu(
        self, toys, pretence, search_runner, tmp_path, change, told
    ):
        model = toys.search_config(TASKS, toys.TINY)
        own = model if 'loss_balancing' in change else model['backbone']
        own |= change
        with pretence.pretend_gpu(), pytest.raises(InputError, match=told) as error:
            search(search_runner, tmp_path, model, True)
        assert 'leave out train_cfg.graphs=True' in str(error.value)

    def test_cpus(self, toys, search_runner, tmp_path):
        with pytest.raises(InputError, match=r'train_cfg.graphs=True .* the network is on cpu'):
            search(search_runner, tmp_path, toys.search_config(TASKS, toys.TINY), True)

    def test_other_values(self, toys, search_runner, tmp_path):
        with pytest.raises(InputError, match=r"train_cfg.graphs 'yes': expected True or False"):
            search(search_runner, tmp_path, toys.search_config(TASKS, toys.TINY), 'yes')

    @pytest.mark.parametrize(
        'change',
        [
            {'type': 'AmpOptimWrapper', 'dtype': 'float16'},
            {'accumulative_counts': 2},
            {'type': 'JacobianOptimWrapper', 'aggregator': {'type': 'UPGrad'}},
        ],
        ids=['amp', 'accumulation', 'aggregation'],
    )
    def test_wrappers_that_act_within_a_pass(self, toys, pretence, search_runner, tmp_path, change):
        wrappers = {
            'constructor': 'SearchOptimWrapperConstructor',
            'weights': {**SGD, **change},
            'arch_params': SGD,
        }
        model = toys.search_config(TASKS, toys.TINY)
        with pretence.pretend_gpu(), pytest.raises(InputError, match=r'optim_wrapper\.weights is'):
            search(search_runner, tmp_path, model, True, optim_wrapper=wrappers)

    @pytest.mark.usefixtures('_one_warm_up')
    def test_losses_that_wait(self, toys, pretence, search_runner, tmp_path):
        """The pass itself tells, whatever the loss."""
        model = toys.search_config(TASKS, toys.TINY)
        head = model['decode_heads']['semseg']
        head['loss_decode'] = {
            'type': 'mmseg.CrossEntropyLoss',
            'class_weight': [1.0] * head['num_classes'],
        }
        with pretence.pretend_gpu(), pytest.raises(InputError, match='class_weight') as error:
            search(search_runner, tmp_path, model, True)
        assert 'warmup semseg' in str(error.value)

    @pytest.mark.usefixtures('_one_warm_up')
    @pytest.mark.parametrize('change', ['size', 'labels'])
    def test_batches_of_another_form(self, toys, pretence, change):
        model = toys.build(toys.search_config(('edge',), toys.TINY, weight=0.0))
        with pretence.pretend_gpu():
            model.to('cuda').train()
            graphs = IterationGraphs(model)
            for last in (False, True):
                size = (64, 32) if last and change == 'size' else (32, 32)
                images, samples = toys.batch(('edge',), size)
                if last and change == 'labels':
                    del samples[1].gt_edge
                batch = {
                    'inputs': images.to('cuda'),
                    'data_samples': [sample.to('cuda') for sample in samples],
                }
                if last:
                    name = 'inputs' if change == 'size' else r'1\.gt_edge\.data is missing'
                    with pytest.raises(InputError, match=name):
                        graphs.run(('arch',), batch, functools.partial(differentiate, model))
                else:
                    graphs.run(('arch',), batch, functools.partial(differentiate, model))
                    graphs._take_gradients()
