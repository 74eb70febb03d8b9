"""Weights of the losses in whole runs: saved, resumed, logged, at rest where they must be."""

import pytest
import torch
from mmengine.hooks import Hook

TASKS = ('semseg', 'normals', 'edge')


class Look(Hook):
    """Keeps the state of the balancing around each iteration, and the logs."""

    priority = 'LOWEST'

    def __init__(self):
        self.before, self.after, self.logs = [], [], []

    def state(self, runner):
        state = runner.model.loss_balancing.state_dict()
        return {key: value.clone() for key, value in state.items()}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before.append(self.state(runner))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.after.append(self.state(runner))
        self.logs.append({key: value.item() for key, value in (outputs or {}).items()})


def equal(one, other):
    return all(torch.equal(one[k].nan_to_num(), other[k].nan_to_num()) for k in one)


SHORT = {'weight_iters': 3, 'warmup_iters': 1}
BALANCING = [
    {'type': 'UncertaintyWeighting'},
    {'type': 'DynamicWeightAverage', 'window': 1},
    {'type': 'GradNorm'},
]


@pytest.mark.parametrize('balancing', BALANCING, ids=lambda b: b['type'])
def test_saved_and_resumed(balancing, toys, make_runner, tmp_path):
    tree = toys.random_tree(TASKS, seed=2)
    model = {**toys.branched_config(TASKS, tree=tree), 'loss_balancing': balancing}
    looks = []
    for iterations in (3, 4):
        looks.append(Look())
        runner = make_runner(
            tmp_path,
            model,
            {'type': 'IterBasedTrainLoop', 'max_iters': iterations},
            {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.01}},
            custom_hooks=[looks[-1]],
            resume=iterations == 4,
        )
        runner.train()
    first, second = looks
    assert len(second.before) == 1
    assert equal(second.before[0], first.after[-1])
    assert not equal(first.before[0], first.after[-1])
    text = ''.join(path.read_text() for path in tmp_path.glob('*/vis_data/scalars.json'))
    assert '"edge.weight"' in text


@pytest.mark.parametrize(
    'balancing',
    [
        pytest.param(b, id=b['type'], marks=[pytest.mark.slow] * (i < 2))
        for i, b in enumerate(BALANCING)
    ],
)
def test_in_a_search(balancing, toys, search_runner, tmp_path):
    """It learns in weight iterations only, all tasks of one of them at once."""
    look = Look()
    model = {**toys.search_config(TASKS, weight=1.0), 'loss_balancing': balancing}
    runner = search_runner(tmp_path, [look], SHORT, model)
    runner.train()
    phases = [runner.train_loop.plan.position(i).phase for i in range(5)]
    changed = [not equal(*pair) for pair in zip(look.before, look.after, strict=True)]
    assert changed == [phase != 'arch' for phase in phases]
    assert all(f'{task}.weight' in log for log in look.logs for task in TASKS)
    for log, phase in zip(look.logs, phases, strict=True):
        parts = [value for key, value in log.items() if '.loss' in key]
        weights = [log[key.split('.')[0] + '.weight'] for key in log if '.loss' in key]
        if balancing['type'] != 'UncertaintyWeighting':
            rest = log['loss_resource'] if phase == 'arch' else 0
            total = sum(w * part for w, part in zip(weights, parts, strict=True)) + rest
            assert log['loss'] == pytest.approx(total, rel=1e-5)
            assert sum(weights) == pytest.approx(3)
