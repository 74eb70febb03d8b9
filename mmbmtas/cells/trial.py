"""A trial: a context module and decoders trained on cached features, and scored."""

import math
import statistics
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmengine.registry import EVALUATOR, MODELS, PARAM_SCHEDULERS
from torch import nn

from mmbmtas.cells.backbone import encoder_of
from mmbmtas.cells.features import CachedFeatures, FeatureCache
from mmbmtas.cells.settings import CellSearchSettings
from mmbmtas.cost import count_madds
from mmbmtas.cost.timing import interleave
from mmbmtas.encoders import DensePredictionCell, Encoder, build_encoder
from mmbmtas.errors import DivergenceError, InputError
from mmbmtas.evaluation import delta_m
from mmbmtas.evaluation.headline import declared_metrics
from mmbmtas.models.backbones.pretrained import init_random
from mmbmtas.registry import MODELS as OURS
from mmbmtas.structures import DenseCell
from mmbmtas.structures.cell import Operation
from mmbmtas.structures.cell_file import CONV

_TIMED = 7
"""Passes of which the median is a module's measured time."""


@dataclass
class Outcome:
    """The result of a trial so far.

    Attributes:
        rung: How many rungs it has passed.
        iterations: How many iterations it was trained.
        metrics: Numbers of the evaluation.
        projection: L1 norms of the projection's weights, a branch each.
    """

    rung: int = 0
    iterations: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    projection: list[float] = field(default_factory=list)


@OURS.register_module()
class CachedBackbone(nn.Module):
    """Reads cached features instead of images, and runs only the context module.

    Args:
        encoder: The encoder's config.
        tasks: Tasks of a multi-task network; None is a plain segmentor's.
        init_cfg: For mmengine's initialisation; there is none.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        tasks: list[str] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.encoder: Encoder = build_encoder(encoder)
        self.tasks = None if tasks is None else tuple(tasks)
        self.context: nn.Module = nn.Identity()

    def build_context(self, dropout: float) -> None:
        """Build the context module with fresh random weights."""
        self.context = self.encoder.build_layer(self.encoder.num_layers - 1, dropout)
        init_random(self.context)

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield the context module, and the number of tasks, which share it."""
        yield self.context, len(self.tasks or ('all',))

    def forward(self, x: CachedFeatures) -> Any:
        """Return low-level and context features, of each task the same."""
        features = x.low_level, self.context(x.features)
        return features if self.tasks is None else dict.fromkeys(self.tasks, features)


class Trial:
    """The networks that trials compare: they differ only in the context module.

    Each has the same initial decoders, batches and dropout, which depend on the seed alone.

    Args:
        cfg: A prepared config.
        settings: The search's settings.
        cache: The features.
        seed: Of the search.
        device: Where to train.
    """

    def __init__(
        self,
        cfg: Config,
        settings: CellSearchSettings,
        cache: FeatureCache,
        seed: int,
        device: torch.device,
    ) -> None:
        self.cfg, self.settings, self.cache = cfg, settings, cache
        self.seed, self.device = seed, device
        self._branches: dict[tuple[Operation, int], int] = {}

    def encoder_config(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return the encoder's config with another context module."""
        encoder = encoder_of(self.cfg).to_config()
        encoder.pop('context', None)
        return {**encoder, 'context': dict(context)}

    def build(self, context: Mapping[str, Any]) -> Any:
        """Build the segmentor with a context module, on cached features."""
        model_cfg = deepcopy(self.cfg.model)
        tasks = [*model_cfg['decode_heads']] if 'decode_heads' in model_cfg else None
        model_cfg.backbone = {
            'type': 'mmbmtas.CachedBackbone',
            'encoder': self.encoder_config(context),
            'tasks': tasks,
        }
        model_cfg.pop('init_cfg', None)
        torch.manual_seed(self.seed)
        model = MODELS.build(model_cfg)
        model.init_weights()
        torch.manual_seed(self.seed)
        backbone = self.cfg.model.backbone
        model.backbone.build_context(backbone.get('dropout', 0.1))
        return model.to(self.device)

    def cost(self, context: Mapping[str, Any]) -> tuple[int, int]:
        """Return multiply-adds on the training window, and parameters, of a context module."""
        with torch.device('meta'):
            encoder = build_encoder(self.encoder_config(context))
            module = encoder.build_layer(encoder.num_layers - 1)
            features = torch.empty(1, self.cache.features.shape[1], *self.cache.size)
        cost = count_madds(module, features)
        return cost.madds, cost.params

    def madds_of_cell(self, cell: DenseCell) -> int:
        """Return a cell's multiply-adds on the training window, from those of its parts."""
        channels = encoder_of(self.cfg).context_channels
        given = self.cache.features.shape[1]
        height, width = self.cache.size
        projection = len(cell.inputs) * channels * channels * height * width
        parts = (
            self._madds_of_branch(operation, given if read < 0 else channels, channels)
            for read, operation in zip(cell.inputs, cell.operations, strict=True)
        )
        return projection + sum(parts)

    def _madds_of_branch(self, operation: Operation, given: int, channels: int) -> int:
        """Measure a branch once."""
        key = (operation.clipped((1, 1)) if operation.op == CONV else operation, given)
        if key not in self._branches:
            with torch.device('meta'):
                module = DensePredictionCell(given, channels, DenseCell((-1,), (operation,)))
                features = torch.empty(1, given, *self.cache.size)
            self._branches[key] = count_madds(module.branches[0], features).madds
        return self._branches[key]

    @torch.no_grad()
    def milliseconds(self, context: Mapping[str, Any]) -> float:
        """Measure a context module on the training window of one image: the median time."""
        encoder = build_encoder(self.encoder_config(context))
        module = encoder.build_layer(encoder.num_layers - 1).eval().to(self.device)
        x = torch.zeros(1, self.cache.features.shape[1], *self.cache.size, device=self.device)
        seconds = interleave({'module': lambda: module(x)}, x.device, warmup=2, repeats=_TIMED)
        return 1000 * statistics.median(seconds['module'])

    def run(self, context: Mapping[str, Any]) -> Iterator[Outcome]:
        """Train a context module with its decoders; yield the result at each rung.

        Raises:
            DivergenceError: A loss is not finite.
        """
        model = self.build(context)
        optimizer = dict(type='OptimWrapper', optimizer=dict(self.settings.optimizer))
        wrapper = build_optim_wrapper(model, optimizer)
        total = self.settings.iterations
        schedule = PARAM_SCHEDULERS.build(
            dict(type='PolyLR', power=self.settings.power, eta_min=0, end=total, by_epoch=False),
            default_args=dict(optimizer=wrapper),
        )
        done = 0
        for rung, share in enumerate(self.settings.rungs, start=1):
            model.train()
            for iteration in range(done, max(1, round(share * total))):
                self._step(model, wrapper, iteration)
                schedule.step()
                done = iteration + 1
            yield Outcome(rung, done, self.score(model), self._projection(model))

    def _step(self, model: Any, wrapper: Any, iteration: int) -> None:
        torch.manual_seed(self.seed * 1_000_003 + iteration)  # for dropout
        inputs, samples = self.cache.training_batch(self.seed, iteration)
        samples = [sample.to(self.device) for sample in samples]
        loss, _ = model.parse_losses(model.loss(inputs.to(self.device), samples))
        if not math.isfinite(float(loss.detach())):
            raise DivergenceError(f'non-finite loss in iteration {iteration}')
        wrapper.update_params(loss)

    @torch.no_grad()
    def score(self, model: Any) -> dict[str, float]:
        """Evaluate a network on the images that are held out for this."""
        model.eval()
        evaluator = _build_evaluator(self.cfg.val_evaluator)
        evaluator.dataset_meta = self.cache.meta['dataset']
        count = 0
        for inputs, samples in self.cache.scoring_batches():
            found = model.predict(inputs.to(self.device), samples)
            evaluator.process([sample.cpu() for sample in found])
            count += len(found)
        metrics = evaluator.evaluate(count)
        return {name: float(value) for name, value in metrics.items() if _is_number(value)}

    @staticmethod
    def _projection(model: Any) -> list[float]:
        """L1 norms of the projection's weights, a branch each; none if it is no cell."""
        context = model.backbone.context
        if not isinstance(context, DensePredictionCell):
            return []
        parts = context.projection.conv.weight.detach().chunk(len(context.branches), dim=1)
        return [float(part.abs().sum()) for part in parts]


def score_of(
    metrics: Mapping[str, float], reference: Mapping[str, float], metric: str | None = None
) -> float:
    """Return the number by which trials are compared; more is better.

    Args:
        metrics: The trial's numbers.
        reference: Those of trial 0.
        metric: The number that counts. By default Delta_m in percent against the reference for
            several tasks; of one task its headline, with the sign changed where less is better.

    Raises:
        InputError: There is no such number, or none that could be the score.
    """
    if metric is not None:
        if metric not in metrics:
            raise InputError(f'cell_search.metric {metric!r}: not in {sorted(metrics)}')
        headline = declared_metrics().get(metric)
        return -metrics[metric] if headline and headline.lower_is_better else metrics[metric]
    headlines = [h for key, h in declared_metrics().items() if key in metrics]
    tasks = {headline.key.split('/')[0] for headline in headlines}
    if len(tasks) > 1:
        if zero := [h.key for h in headlines if reference.get(h.key) == 0]:
            raise InputError(
                f'the first reference reached 0 in {", ".join(zero)}, so that Delta_m has no '
                'meaning: train longer (cell_search.iterations), or state cell_search.metric'
            )
        return delta_m(metrics, reference)
    names = [headline.key for headline in headlines] or [n for n in metrics if n == 'mIoU']
    if not names:
        raise InputError(
            f'none of {sorted(metrics)} is known as a score: state it as cell_search.metric'
        )
    return score_of(metrics, reference, names[0])


def _build_evaluator(cfg: Any) -> Evaluator:
    """Build an evaluator as mmengine's runner does."""
    if isinstance(cfg, Mapping) and 'metrics' in cfg:
        return EVALUATOR.build({'type': 'Evaluator', **cfg})
    return Evaluator(cfg)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or hasattr(value, 'item')  # of numpy and torch
