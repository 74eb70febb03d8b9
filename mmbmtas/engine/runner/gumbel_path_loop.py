"""The search of paths by gradients: BMTAS's relaxation in MPNAS's supernet."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.runner import Runner
from torch.nn import functional as F

from mmbmtas.errors import DivergenceError, InputError
from mmbmtas.losses.balancing import losses_by_task
from mmbmtas.models.backbones.routing import Mixture, build_routing
from mmbmtas.registry import LOOPS
from mmbmtas.structures.values import filled_in_from, require_positive

from .path_search_loop import PathSearchLoop


@LOOPS.register_module()
class GumbelPathSearchLoop(PathSearchLoop):
    """Search paths by Gumbel-softmax samples rather than by REINFORCE (ours, for comparison).

    In each iteration a domain's images pass, in every layer, the sum of a few candidates, weighted
    by a Gumbel-softmax sample of its policy. The weights take a step on the training split; the
    policies one, after the warm-up, on the other split, by the gradient of the losses and of the
    distance between expected cost and target. Losses are summed as the heads weigh them.

    Args:
        runner: The runner.
        dataloader: As for :class:`PathSearchLoop`.
        weight_iters: Iterations.
        warmup_share: Share of them in which only the weights learn.
        arch_fraction: Share of each domain's images that the policies learn from.
        split_seed: Seed of the split.
        beta: Factor of the distance between expected cost and target, below 0.
        target_madds: As for :class:`PathSearchLoop`.
        target_union_params: As for :class:`PathSearchLoop`.
        routing: Config of the scheme that chooses which candidates run:
            :class:`~mmbmtas.models.backbones.TopKRouting` with two by default, ``HardRouting``, or
            any other.
        tau: Temperature at the end of the warm-up and at the last iteration.
        at_most: As for :class:`PathSearchLoop`.
        exported: As for :class:`PathSearchLoop`.
        latency: As for :class:`PathSearchLoop`.
        target_latency_ms: As for :class:`PathSearchLoop`.

    Raises:
        InputError: As :class:`PathSearchLoop`, or ``tau`` is not two numbers above 0.
        DivergenceError: The search has diverged.

    Example:
        >>> train_cfg = dict(type='GumbelPathSearchLoop', weight_iters=3000)
    """

    @filled_in_from('weight_iters', 'train_cfg.weight_iters')
    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        weight_iters: int,
        warmup_share: float = 0.25,
        arch_fraction: float = 0.2,
        split_seed: int = 0,
        beta: float = -0.1,
        target_madds: float | Mapping[str, float] | None = None,
        target_union_params: float | None = None,
        routing: Mapping[str, Any] | None = None,
        tau: Sequence[float] = (5.0, 0.1),
        at_most: bool = False,
        exported: str = 'within_budget',
        latency: str | os.PathLike | Mapping[str, Any] | None = None,
        target_latency_ms: float | Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(tau, Sequence) or isinstance(tau, str) or len(tau) != 2:
            raise InputError(f'train_cfg.tau {tau!r}: expected two numbers above 0')
        self.tau = [require_positive('train_cfg.tau', value) for value in tau]
        targets = (target_madds, target_union_params, target_latency_ms)
        has_target = any(target is not None for target in targets)
        super().__init__(
            runner,
            dataloader,
            weight_iters,
            warmup_share,
            arch_fraction,
            1,
            split_seed,
            beta=beta,
            target_madds=target_madds,
            target_union_params=target_union_params,
            cost='expected' if has_target else 'sampled',
            at_most=at_most,
            exported=exported,
            latency=latency,
            target_latency_ms=target_latency_ms,
        )
        most = max(map(len, self.model.policy.candidates))
        self.routing = build_routing(routing or {'type': 'TopKRouting', 'k': 2}, most)

    def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """Train the weights along relaxed paths, then the policies."""
        with torch.no_grad():
            paths = self.relaxed_paths()
        log = self._step_weights(data, paths)
        batch = self.model.data_preprocessor(next(self._arch_batches), True)
        if self._iter < self.schedule.warmup_iters:
            return log
        with self.runner.optim_wrapper['weights'].optim_context(self.runner.model):
            losses = self.model(**batch, mode='loss', paths=self.relaxed_paths())
        loss = torch.stack([*losses_by_task(losses, self.model.tasks).values()]).sum()
        if not loss.isfinite():
            raise DivergenceError(
                f'the losses that policies learn from are not finite ({self.where()}): training '
                'has diverged; a lower learning rate, or gradient clipping '
                '(optim_wrapper.weights.clip_grad), may help'
            )
        if self.budget:
            loss = loss - self.reward.beta * self.budget.distance(self.model.policy.probs())
        self.update_policies(loss, 1.0)
        return {**log, 'policy.objective': loss.detach()}

    def relaxed_paths(self) -> dict[str, list[Mixture]]:
        """Draw for each domain which candidates run in each layer, and their weights."""
        counts = [len(layer) for layer in self.model.policy.candidates]
        logits = self.model.policy.log_probs()
        found = {}
        for position, domain in enumerate(self.model.domains):
            z = F.gumbel_softmax(logits[:, position], tau=self.temperature, dim=-1)
            found[domain] = [
                {candidate: w for candidate, w in mixture.items() if candidate < count}
                for mixture, count in zip(self.routing(z), counts, strict=True)
            ]
        return found

    @property
    def temperature(self) -> float:
        """The present temperature; it falls linearly from the end of the warm-up on."""
        start, end = self.tau
        warmup = self.schedule.warmup_iters
        left = max(1, self.schedule.iters - warmup - 1)
        return start + (end - start) * min(1.0, max(0, self._iter - warmup) / left)
