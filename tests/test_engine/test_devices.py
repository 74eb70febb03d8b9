"""Whole runs on a pretended GPU: as on the CPU, and resumed as if uninterrupted.

See ``tests/pretend_gpu.py``.
"""

from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[2]
TASKS = ('semseg', 'normals', 'edge')
SGD = {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9}


def numbers(runner):
    """Weights and optimisers, on the CPU; and whether those of the network are on the GPU."""
    state = [runner.model.state_dict(), runner.optim_wrapper.state_dict()]
    leaves = [x.cpu() if isinstance(x, torch.Tensor) else x for x in tree_leaves(state)]
    return leaves, {p.is_cuda for p in runner.model.parameters()}


@pytest.mark.parametrize('kind', ['OptimWrapper', 'AmpOptimWrapper'])
def test_a_search(toys, pretence, search_runner, tmp_path, kind):
    """Of all phases, once resumed in the first of them that trains the architecture."""
    model = toys.search_config(TASKS, toys.TINY, weight=1.0)
    optimisers = {'weights': SGD, 'arch_params': {'type': 'Adam', 'lr': 0.01}}

    def search(name, kind, **options):
        wrappers = {key: {'type': kind, 'optimizer': sgd} for key, sgd in optimisers.items()}
        runner = search_runner(
            tmp_path / name,
            model=model,
            loop={'weight_iters': 4, 'warmup_iters': 1},
            optim_wrapper={'constructor': 'SearchOptimWrapperConstructor', **wrappers},
            default_hooks={
                'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 2},
                'gradients': {'type': 'NonFiniteGradientHook'},
            },
            **options,
        )
        runner.train()
        return numbers(runner)

    resume = {'load_from': str(tmp_path / 'whole/iter_2.pth'), 'resume': True}
    with pretence.pretend_gpu():
        whole, on_gpu = search('whole', kind)
        resumed, _ = search('resumed', kind, **resume)
    assert on_gpu == {True}
    for one, other in zip(whole, resumed, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    if kind == 'OptimWrapper':
        expected, on_gpu = search('cpu', kind)
        assert on_gpu == {False}
        torch.testing.assert_close(whole, expected, rtol=1e-3, atol=1e-4)
