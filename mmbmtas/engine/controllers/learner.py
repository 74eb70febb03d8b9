"""Teaches policies by REINFORCE: the moving baselines, and the step of their optimiser."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmbmtas.errors import DivergenceError

from .reinforce import Baseline, policy_loss

_BASELINES = 'search_baselines'


class PolicyLearner:
    """Lets choices with good rewards become likelier, each beside a baseline of its own.

    With several ranks, a baseline learns from the mean reward of those that have one, and the
    gradients of the policies are averaged. Checkpoints have the baselines.

    Args:
        runner: The runner; ``arch_params`` of its ``optim_wrapper`` steps the policies.
        names: Who chooses: domains, or tasks.
    """

    def __init__(self, runner: Runner, names: Iterable[str]) -> None:
        self.runner = runner
        self.baselines = {name: Baseline() for name in names}

    def resume(self) -> None:
        """Take the baselines from the checkpoint that the runner has loaded."""
        states = self.runner.message_hub.runtime_info.get(_BASELINES, {})
        self.baselines |= {name: Baseline(*state) for name, state in states.items()}

    def loss(self, log_probs: Mapping[str, Tensor], rewards: Mapping[str, float | None]) -> Tensor:
        """Return ``-sum (R - b) log p``, 0-d, once the baselines have learned from the rewards.

        All ranks of a distributed run must call it together, with the same names.

        Args:
            log_probs: Of what each has chosen, 0-d, differentiable.
            rewards: What it is worth; None where this rank cannot say.
        """
        baselines = dict(zip(rewards, self._update([*rewards], [*rewards.values()]), strict=True))
        advantages = [
            0.0 if reward is None else reward - baselines[name] for name, reward in rewards.items()
        ]
        return policy_loss(torch.stack([log_probs[name] for name in rewards]), advantages)

    def step(
        self, loss: Tensor, parameters: Iterable[nn.Parameter], rate: float | None = None
    ) -> None:
        """Step the policies once, by the mean of the ranks' gradients.

        Args:
            loss: What is to become smaller, 0-d.
            parameters: The policies'.
            rate: Factor of the stated learning rate; by default it is as schedulers have it.
        """
        parameters = [*parameters]
        # Not by backward: the distributed wrapper has already closed this iteration's gradients.
        gradients = torch.autograd.grad(loss, parameters)
        wrapper = self.runner.optim_wrapper['arch_params']
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if get_world_size() > 1:
                all_reduce(gradient, 'mean')
            parameter.grad = gradient
        if rate is not None:
            for group in wrapper.optimizer.param_groups:
                group['lr'] = group.setdefault('initial_lr', group['lr']) * rate
        OptimWrapper.step(wrapper)  # no scaler: policies are not computed in half precision
        wrapper.zero_grad()

    def _update(self, names: Sequence[str], rewards: Sequence[float | None]) -> list[float]:
        """Let some baselines learn from the ranks' mean rewards, and keep all in checkpoints."""
        known = [reward is not None for reward in rewards]
        sums = [reward or 0.0 for reward in rewards]
        counts = [*map(float, known)]
        if get_world_size() > 1:
            device = next(self.runner.model.parameters()).device
            both = torch.tensor([sums, counts], dtype=torch.float64, device=device)
            all_reduce(both)
            sums, counts = both.tolist()
        found = [
            self.baselines[name].update(total / count)
            for name, total, count in zip(names, sums, counts, strict=True)
        ]
        states = {name: [b.total, b.weight] for name, b in self.baselines.items()}
        self.runner.message_hub.update_info(_BASELINES, states)
        return found


def check_qualities(found: Mapping[str, float], what: str) -> None:
    """Refuse qualities that are not finite.

    Args:
        found: How well each does that has chosen.
        what: What was chosen, for the message.

    Raises:
        DivergenceError: One is not.
    """
    if broken := [name for name, value in found.items() if not math.isfinite(value)]:
        raise DivergenceError(
            f'the quality of the {what} of {", ".join(broken)} is not finite: training has '
            'diverged; a lower learning rate, or gradient clipping '
            '(optim_wrapper.weights.clip_grad), may help'
        )
