"""The search of paths: iterations train the weights along sampled paths, then the policies."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmbmtas.cost import PathLatencyTable, expected_sum, expected_union
from mmbmtas.engine.controllers import (
    Budget,
    Paths,
    PolicyLearner,
    Reward,
    Schedule,
    check_qualities,
)
from mmbmtas.engine.randomness import Stream, generator_of
from mmbmtas.errors import InputError
from mmbmtas.paths import PathSearchEncoderDecoder, with_path_cost
from mmbmtas.registry import LOOPS
from mmbmtas.structures import PathArchitecture, RoutedArchitecture
from mmbmtas.structures.paths import CHANGED_FOR_BUDGET
from mmbmtas.structures.values import filled_in_from, require_choice, require_count

from .search_loop import SearchLoop, split_groups
from .train_loader import batch_size_of, batches, is_endless

EXPORTED = ('within_budget', 'most_probable')


@LOOPS.register_module()
class PathSearchLoop(SearchLoop):
    """Train a supernet along sampled paths, and a policy for each domain by REINFORCE (MPNAS).

    The images of each domain are split once, by ``split_seed``, into a weight and an architecture
    split. Each iteration, as in TuNAS (Bender et al., CVPR 2020):

    1. Every domain samples a path. In the warm-up, decisions are also averaged over.
    2. One batch with images of all domains trains the weights, one step along these paths.
    3. A batch of the architecture split, ``val_batch_factor`` times as large, shows the quality of
       each path: no gradient, batch statistics.
    4. The reward is the quality, less what the path costs beside a target (:class:`Reward`).
    5. The policies step on ``-(R - b) log p``; their learning rate is 0 in the warm-up, then grows
       tenfold from the one stated in ``optim_wrapper.arch_params``. TuNAS has Adam with
       ``betas=(0.0, 0.999)`` and a rate of 3e-4 for batches of 256.

    With several ranks each samples paths of its own. The baseline learns from the mean reward, and
    the policies' gradients are averaged. ``model.loss_balancing`` weighs losses, never rewards.

    The runner's ``optim_wrapper`` must hold ``weights`` and ``arch_params``
    (:class:`SearchOptimWrapperConstructor`), its model be a :class:`PathSearchEncoderDecoder`.

    Args:
        runner: The runner.
        dataloader: Config of the loader, with a ``DomainSampler``; both splits use it.
        weight_iters: Iterations.
        warmup_share: Share of them in which the policies do not learn.
        arch_fraction: Share of each domain's training images in the architecture split.
        val_batch_factor: Size of its batches, in batches of the weights.
        split_seed: Seed of the split.
        reward: ``abs``, ``mnas`` or ``mnas_hard``.
        beta: Exponent or factor of the cost in the reward, below 0.
        target_madds: Multiply-adds of a domain's whole network, for all domains or by domain.
        target_union_params: Parameters of the network of all domains, each node once; ours.
        cost: ``sampled`` (the sampled path's cost is part of its reward, as in TuNAS) or
            ``expected`` (the reward is the quality alone, and the distance of the expected cost
            from the target is differentiated exactly; ours, for ``abs``).
        at_most: Whether the target is a limit: costs below it are no worse (ours).
        exported: The paths that the search ends in, where there is a target: the likeliest ones
            ``within_budget``, 5 % around it (ours, see :meth:`Budget.likeliest`), or the
            ``most_probable``, whatever they cost.
        latency: Measured times of the candidates: the file that
            ``tools/analysis_tools/measure_latency.py`` writes for a config of paths, or its
            content.
        target_latency_ms: Milliseconds of a domain's whole network by that table, for all domains
            or by domain; ours.

    Raises:
        InputError: An argument is out of range or would have no effect, the sampler is another, the
            domains of images and model differ, or one has too few images.
        DivergenceError: The search has diverged; the message says where.
        WorkerError: A worker of the loader has died.

    Example:
        >>> train_cfg = dict(type='PathSearchLoop', weight_iters=3000, target_madds=30e6)
    """

    @filled_in_from('weight_iters', 'train_cfg.weight_iters')
    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        weight_iters: int,
        warmup_share: float = 0.25,
        arch_fraction: float = 0.2,
        val_batch_factor: int = 4,
        split_seed: int = 0,
        reward: str = 'abs',
        beta: float = -0.1,
        target_madds: float | Mapping[str, float] | None = None,
        target_union_params: float | None = None,
        cost: str = 'sampled',
        at_most: bool = False,
        exported: str = 'within_budget',
        latency: str | os.PathLike | Mapping[str, Any] | None = None,
        target_latency_ms: float | Mapping[str, float] | None = None,
    ) -> None:
        self.schedule = Schedule(weight_iters, warmup_share)
        self.reward = Reward(reward, beta)
        self.cost = require_choice('train_cfg.cost', cost, ('sampled', 'expected'))
        self.exported = require_choice('train_cfg.exported', exported, EXPORTED)
        factor = require_count('train_cfg.val_batch_factor', val_batch_factor)
        larger = {**dataloader, 'batch_size': factor * batch_size_of(dataloader)}
        super().__init__(runner, dataloader, larger, arch_fraction, split_seed)
        if not isinstance(self.model, PathSearchEncoderDecoder):
            raise InputError(
                f'PathSearchLoop searches the paths of a PathSearchEncoderDecoder, found '
                f'{type(self.model).__name__}: search with BranchedSearchLoop'
            )
        self._check_domains()
        self.latency = None if latency is None else self._checked(PathLatencyTable.of(latency))
        self.budget = Budget(
            self.model.network_cost,
            target_madds,
            target_union_params,
            at_most,
            self.latency,
            target_latency_ms,
        )
        self._check_effects()
        self.learner = PolicyLearner(runner, self.model.domains)
        self._arch_batches: Iterator[Any] = iter(())

    @property
    def max_iters(self) -> int:
        """All iterations; each trains weights and policies."""
        return self.schedule.iters

    @property
    def model(self) -> PathSearchEncoderDecoder:
        """The model without a distributed wrapper."""
        return super().model

    def split(self, dataloader: dict[str, Any], fraction: float, seed: int) -> tuple[Subset, ...]:
        """Split the training images of each domain.

        Raises:
            InputError: The sampler does not know the domains, or one has fewer than two images.
        """
        sampler = dataloader['sampler']
        if isinstance(sampler, Mapping):
            sampler = DATA_SAMPLERS.build(dict(sampler), default_args=dict(dataset=self.dataset))
        if not hasattr(sampler, 'domains'):
            raise InputError(
                f'train_dataloader.sampler is a {type(sampler).__name__}, but a search of paths '
                "draws images of its domains in turn: expected dict(type='DomainSampler')"
            )
        if few := [domain for domain, images in sampler.indices.items() if len(images) < 2]:
            raise InputError(
                f'the domain {", ".join(few)} has one training image, which cannot be split '
                '(train_cfg.arch_fraction): expected at least 2'
            )
        self._domains = tuple(sampler.indices)
        return split_groups(self.dataset, [*sampler.indices.values()], fraction, seed)

    def describe(self) -> str:
        """Say how many iterations there are, and for how many domains."""
        schedule = self.schedule
        return (
            f'Search of paths: {schedule.iters} iterations ({schedule.warmup_iters} of them '
            f'warm-up) for {len(self.model.domains)} domains, with batches of '
            f'{self.dataloader.batch_size} and {self.arch_dataloader.batch_size} images.'
        )

    def where(self) -> str:
        """Say at which iteration the search is."""
        phase = ' (warm-up)' if self._iter < self.schedule.warmup_iters else ''
        return f'iteration {self._iter + 1} of {self.max_iters}{phase}'

    def check_resumed(self) -> None:
        """Take the baselines from the checkpoint; warn where the search goes on otherwise."""
        self.learner.resume()
        self.tell_of_change(
            'search_schedule',
            [self.schedule.iters, self.schedule.warmup_iters],
            'The search began with {begun[0]} iterations, {begun[1]} of them warm-up, now '
            '{now[0]} and {now[1]}: from iteration {iteration} on the learning rate of the '
            'policies is that of the new schedule.',
        )
        super().check_resumed()

    def check_loader(self, loader: DataLoader) -> None:
        """Refuse a sampler that ends.

        Raises:
            InputError: It does.
        """
        if not is_endless(loader):
            raise InputError(
                'train_dataloader.sampler ends after one epoch, but a search of paths must not '
                "end: expected dict(type='DomainSampler')"
            )

    def _batches(self) -> Iterator[Any]:
        """Yield the batches of the weights; those of the policies begin at the same place."""
        self._arch_batches = batches(self.arch_dataloader, 0, self._iter)
        yield from batches(self.dataloader, 0, self._iter)

    def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """Train the weights along sampled paths, then the policies."""
        place = self.runner.seed, Stream.PATHS, self._iter, get_rank()
        paths = self.draw(generator_of(*place))
        log = self._step_weights(data, paths)
        qualities = self._qualities(paths)
        ratios = self.budget.ratios(paths) if self.cost == 'sampled' else dict.fromkeys(paths)
        rewards = {d: self.reward(qualities[d], ratios[d]) for d in self.model.domains}
        self.learn(paths, rewards)
        return {
            **log,
            **{f'{domain}.quality': value for domain, value in qualities.items()},
            'reward': sum(rewards.values()) / len(rewards),
        }

    def draw(self, generator: torch.Generator) -> dict[str, tuple[int, ...]]:
        """Draw the path that each domain tries in this iteration.

        Args:
            generator: Its source of randomness, seeded by the iteration and the rank.
        """
        return self.model.sample_paths(generator)

    def learn(self, paths: Paths, rewards: Mapping[str, float]) -> None:
        """Step the policies, so that paths with good rewards become likelier.

        Args:
            paths: The path that each domain tried.
            rewards: The reward of each, in the order of the domains.
        """
        policy = self.model.policy
        log_probs = {domain: policy.log_prob(domain, paths[domain]) for domain in rewards}
        loss = self.learner.loss(log_probs, rewards)
        if self.cost == 'expected':
            loss = loss - self.reward.beta * self.budget.distance(policy.probs())
        self.update_policies(loss, self.schedule.rate(self._iter))

    def update_policies(self, loss: Tensor, rate: float) -> None:
        """Step the policies once, by the mean of the ranks' gradients.

        Args:
            loss: What is to become smaller, 0-d.
            rate: Factor of the learning rate.
        """
        self.learner.step(loss, self.model.policy.parameters(), rate)

    def export_architecture(self, source: str | dict[str, Any] | None = None) -> PathArchitecture:
        """Return the paths that the search ends in if it ends now, see ``exported``."""
        paths = self.model.export_architecture(source)
        if self.exported == 'most_probable':
            return paths
        held = replace(paths, routing=self.budget.likeliest(self.model.policy))
        if (changed := held.differences(paths)) == 0:
            return paths
        if isinstance(source, dict):
            held = replace(held, source={**source, CHANGED_FOR_BUDGET: changed})
        return with_path_cost(held, self.model.network_cost, self.model.cost_shape)

    def measured(self, architecture: RoutedArchitecture) -> dict[str, float]:
        """Return what the policies cost, and the paths that would be exported now.

        Args:
            architecture: Those paths.

        Returns:
            ``expected_gmadds`` and ``argmax_gmadds``, multiply-adds in 10^9 of every domain on an
            image of its own, summed; ``expected_mparams`` and ``argmax_mparams``, parameters in
            10^6 of the network of all domains. With a latency table ``expected_latency_ms`` and
            ``argmax_latency_ms``, of every domain on an image of its own, summed.
        """
        model, chosen = self.model, PathArchitecture.of(architecture)
        probs, cost = model.backbone.routing_probs().detach(), model.network_cost
        fixed = sum(cost.fixed_of(domain).madds for domain in model.domains)
        madds = float(expected_sum(probs, model.candidate_costs)) + fixed
        params = float(expected_union(probs, model.candidate_params)) + cost.fixed.params
        values = {
            'expected_gmadds': madds / 1e9,
            'argmax_gmadds': cost.paths(chosen).sum / 1e9,
            'expected_mparams': params / 1e6,
            'argmax_mparams': cost.paths(chosen, 'params').union / 1e6,
        }
        if (table := self.latency) is not None:
            fixed_ms = sum(table.fixed_of(domain) for domain in model.domains)
            values['expected_latency_ms'] = float(expected_sum(probs, table.table())) + fixed_ms
            values['argmax_latency_ms'] = sum(self._milliseconds(chosen).values())
        return values

    def _milliseconds(self, paths: PathArchitecture) -> dict[str, float]:
        """Return the time of each domain's network by the latency table, nothing without one."""
        table = self.latency
        return {} if table is None else {d: table.path(d, p) for d, p in paths.routing.items()}

    def describe_cost(self, architecture: RoutedArchitecture) -> str:
        """Say what paths cost: each domain on an image of its own, and parameters of all.

        Also how many choices are not the most probable ones, so that the budget is met.
        """
        chosen = PathArchitecture.of(architecture)
        madds = self.model.network_cost.paths(chosen)
        params = self.model.network_cost.paths(chosen, 'params').union
        each = ', '.join(
            f'{domain} {cost / 1e6:.1f}'
            for domain, cost in zip(chosen.domains, madds.per_domain, strict=True)
        )
        changed = chosen.differences(self.model.backbone.export_architecture())
        choices = sum(map(len, chosen.routing.values()))
        times = ', '.join(f'{d} {ms:.2f}' for d, ms in self._milliseconds(chosen).items())
        latency = f'; ms by the latency table: {times}' if times else ''
        held = f'; changed {changed} of {choices} choices to meet the budget' if changed else ''
        return (
            f'{params / 1e6:.3f} million parameters, {madds.sum / 1e6:.1f} million multiply-adds '
            f'({each}) at {[*self.model.cost_shape]}{latency}{held}'
        )

    def describe_miss(self, architecture: RoutedArchitecture) -> str | None:
        """Say which paths miss their budget by more than 5 %, and what may help."""
        found = self.budget.describe_misses(PathArchitecture.of(architecture).routing)
        if not found:
            return None
        if self.exported == 'within_budget':
            return (
                f'The paths miss the budget: {found}. What may help: another target, as no paths '
                'nearer to this one were found'
            )
        held = '' if self.cost == 'expected' else ", cost='expected'"
        return (
            f'The paths miss the budget: {found}. What may help: a beta further below 0 than '
            f'{self.reward.beta:g} (train_cfg.beta){held}, a longer search, '
            "train_cfg.exported='within_budget'"
        )

    def _step_weights(self, data: dict[str, Any], paths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Step the weights once, on the losses of all domains."""
        wrapper = self.runner.optim_wrapper['weights']
        averaging = self.schedule.averaging(self._iter)
        with wrapper.optim_context(self.runner.model):
            losses = self.runner.model(**data, mode='loss', paths=paths, averaging=averaging)
        loss, log = self.model.parse_losses(losses)
        wrapper.update_params(loss)
        return log

    def _qualities(self, paths: Paths) -> dict[str, float]:
        """Return how well each path does on a batch of the architecture split."""
        data = self.model.data_preprocessor(next(self._arch_batches), True)
        with self.runner.optim_wrapper['weights'].optim_context(self.runner.model):
            found = self.model.quality(data['inputs'], data['data_samples'], paths)
        check_qualities(found, 'paths')
        return found

    def _checked(self, table: PathLatencyTable) -> PathLatencyTable:
        """Refuse the latency table of another network."""
        model = self.model
        counts = [*map(len, model.policy.candidates)]
        encoder = model.backbone.encoder.to_config()
        table.check_fits(model.domains, encoder, counts, model.cost_shape)
        return table

    def _check_domains(self) -> None:
        """Refuse images of other domains than the model's."""
        if set(self._domains) != set(self.model.domains):
            raise InputError(
                f'the training images are of the domains {[*self._domains]}, the model is for '
                f'{[*self.model.domains]}: expected the same'
            )

    def _check_effects(self) -> None:
        """Refuse what would have no effect."""
        stated = {'reward': (self.reward.kind, 'abs'), 'beta': (self.reward.beta, -0.1)}
        stated |= {'cost': (self.cost, 'sampled'), 'exported': (self.exported, EXPORTED[0])}
        if not self.budget:
            for name, (value, usual) in stated.items():
                if value != usual:
                    raise InputError(
                        f'train_cfg.{name} {value!r} weighs costs, but there is no target: state '
                        'target_madds, target_union_params or target_latency_ms, or leave '
                        f'{name} out'
                    )
        if self.cost == 'expected' and self.reward.kind != 'abs':
            raise InputError(
                f"train_cfg.reward {self.reward.kind!r} with cost='expected', where the reward is "
                "the quality alone: expected 'abs'"
            )
