"""The search of trees by rewards: MPNAS's controller in BMTAS's supernet."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner
from torch import Tensor

from mmbmtas.engine.controllers import PolicyLearner, check_qualities
from mmbmtas.engine.randomness import Stream, generator_of
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedSupernet
from mmbmtas.paths import FlatPolicy
from mmbmtas.paths.quality import quality_of
from mmbmtas.registry import LOOPS

from .branched_search_loop import BranchedSearchLoop


@LOOPS.register_module()
class ReinforceSearchLoop(BranchedSearchLoop):
    """Search a tree by REINFORCE rather than by gradients of the losses (ours, for comparison).

    Phases, splits and the training of the weights are those of :class:`BranchedSearchLoop`. With
    ``model.backbone.routing=dict(type='HardRouting')`` the weights too see one sampled candidate
    at a time. An iteration of the architecture:

    1. Each task draws a candidate of every layer, as likely as its architecture parameters say.
    2. A batch of the architecture split shows how well each task does: no gradient, in training
       mode, as in architecture phases by gradient. See
       :func:`~mmbmtas.paths.quality.quality_of`.
    3. The architecture parameters take one step on ``-(Q - b) log p`` of all labelled tasks, with a
       moving baseline ``b`` for each (:class:`PolicyLearner`), and on the resource loss, which is
       differentiated exactly.

    Rewards are from 0 to 1, much less than losses, so the resource loss needs a smaller weight.

    Args:
        runner: As for :class:`BranchedSearchLoop`; its model has a :class:`BranchedSupernet`.
        args, kwargs: As for :class:`BranchedSearchLoop`.

    Raises:
        InputError: As :class:`BranchedSearchLoop`, or the backbone is another.
        DivergenceError: The search has diverged; the message says where.

    Example:
        >>> train_cfg = dict(type='ReinforceSearchLoop', weight_iters=40000, warmup_iters=2000)
    """

    def __init__(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, *args, **kwargs)
        backbone = self.model.backbone
        if not isinstance(backbone, BranchedSupernet):
            raise InputError(
                f'ReinforceSearchLoop draws routings of a BranchedSupernet, found '
                f'{type(backbone).__name__}: search with BranchedSearchLoop'
            )
        copies: Any = [[{'copy': index} for index in range(len(backbone.tasks))]]
        self.policy = FlatPolicy(copies * backbone.encoder.num_layers, backbone.tasks)
        self.policy.logits = backbone.arch_params  # one and the same, in the model's checkpoints
        self.policy.to(backbone.arch_params.device)
        self.learner = PolicyLearner(runner, backbone.tasks)

    def check_resumed(self) -> None:
        """Take the baselines from the checkpoint; warn where the search goes on otherwise."""
        self.learner.resume()
        super().check_resumed()

    def _step_arch(self, data: dict[str, Any], tasks: Sequence[str]) -> dict[str, Any]:
        """Draw routings, judge them, and step the architecture parameters once."""
        generator = generator_of(self.runner.seed, Stream.PATHS, self._iter, get_rank())
        routings = {task: self.policy.sample(task, generator) for task in self.model.tasks}
        qualities = self._qualities(data, routings, tasks)
        loss = self._resource_loss()
        if tasks:
            log_probs = {task: self.policy.log_prob(task, routings[task]) for task in tasks}
            loss = loss + self.learner.loss(log_probs, qualities)
        self.learner.step(loss, [self.policy.logits])
        known = {task: quality for task, quality in qualities.items() if quality is not None}
        log = {f'{task}.quality': quality for task, quality in known.items()}
        if known:
            log['reward'] = sum(known.values()) / len(known)
        return {**log, 'loss': loss.detach()}

    def _resource_loss(self) -> Tensor:
        """Return the penalty on the expected cost, differentiable."""
        return sum(self.model.resource_losses().values(), torch.zeros(()))

    @torch.no_grad()
    def _qualities(
        self, data: dict[str, Any], routings: Mapping[str, Sequence[int]], tasks: Sequence[str]
    ) -> dict[str, float | None]:
        """Return how well each routing does on a batch; None where this rank has no label."""
        model, samples = self.model, data['data_samples']
        backbone: Any = model.backbone
        heads = {task: model.decode_heads[task] for task in tasks}
        present = {task: head for task, head in heads.items() if head.is_labelled(samples)}
        with self.runner.optim_wrapper['arch_params'].optim_context(self.runner.model):
            chosen = {task: routings[task] for task in present}
            features = backbone.forward_along(data['inputs'], chosen)
            found = {
                task: float(quality_of(task, {task: head}, features[task], samples))
                for task, head in present.items()
            }
        check_qualities(found, 'routings')
        return {task: found.get(task) for task in tasks}
