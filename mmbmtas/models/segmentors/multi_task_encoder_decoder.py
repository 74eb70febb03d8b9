"""The multi-task network as an mmseg segmentor: one encoder, one decoder per task."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine import dist
from mmengine.model import ModuleDict
from mmseg.models.segmentors.base import BaseSegmentor
from torch import Tensor

from mmbmtas.checkpoints import require_fitting
from mmbmtas.cost import ModuleCost, NetworkCost, measure
from mmbmtas.cost.madds import forward_cost
from mmbmtas.devices import fetch
from mmbmtas.errors import DivergenceError, InputError
from mmbmtas.losses.balancing import (
    OTHER,
    build_loss_balancing,
    carry_parts,
    losses_by_task,
)
from mmbmtas.models.backbones.pretrained import name_pretrained
from mmbmtas.models.backbones.protocols import Backbone, Features, require_members
from mmbmtas.registry import MODELS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.values import require_shape

from .decoders import DecoderBuilder
from .single_networks import load_single_networks


@MODELS.register_module()
class MultiTaskEncoderDecoder(BaseSegmentor):
    """An encoder that gives features to each task, and a decoder for each.

    It computes losses, predictions or raw maps as every mmseg segmentor does. Any number of tasks
    that the backbone takes will do: a task is a key of ``decode_heads``.

    Args:
        backbone: Config of :class:`BranchedNetwork`, or of any other
            :class:`~mmbmtas.models.backbones.Backbone`.
        decode_heads: Config of each task's decoder: one of ours, or a head of mmseg that gives one
            map, ``dict(type='mmseg.UPerHead', in_index=[0, 1, 2, 3], ...)`` with ``output`` and
            ``loss_decode`` as :class:`TaskHead` has them. One that leaves out ``in_channels`` gets
            those of the encoder's low-level and context features; a head of mmseg those of the
            encoder's ``taps`` that ``in_index`` names.
        cost_shape: Height and width at which costs are stated: the retraining size.
        data_preprocessor: Config of the preprocessor.
        init_cfg: Initialisation of the whole network: ``dict(type='SingleCheckpoints',
            checkpoints={task: PATH, ...})`` has an :class:`ExchangeNetwork` and the decoders start
            from trained single-task networks.
        loss_balancing: Config of a :class:`LossBalancing`, which weighs the tasks' losses while
            the network trains: ``dict(type='UncertaintyWeighting')``, ``DynamicWeightAverage`` or
            ``GradNorm``. By default the losses are summed as the heads weigh them.
        auxiliary_heads: For a task a head, or a list of them, that is trained beside its decoder
            and left out of predictions, exports and costs. Its losses count as the task's, and are
            called ``<task>.aux.loss_...``, or ``aux_0`` and so on of a list.

    Raises:
        InputError: The backbone has not all that :class:`Backbone` lists, it has a path for each of
            several domains (:class:`DomainEncoderDecoder` is for these), its tasks are not those
            of ``decode_heads``, a decoder is for other features than the encoder's or of a kind
            that cannot serve a task, ``cost_shape`` is no height and width, a decoder's own
            ``init_cfg`` goes with ``SingleCheckpoints``, or ``loss_balancing`` is of an unknown
            type or takes other arguments.
    """

    BACKBONE: type = Backbone
    backbone: Backbone

    def __init__(
        self,
        backbone: dict[str, Any],
        decode_heads: Mapping[str, dict[str, Any]],
        cost_shape: tuple[int, int] = (512, 512),
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
        loss_balancing: dict[str, Any] | None = None,
        auxiliary_heads: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.cost_shape = require_shape('cost_shape', cost_shape)
        self.backbone = MODELS.build(backbone)
        require_members(self.backbone, self.BACKBONE, type(self).__name__)
        if self.BACKBONE is Backbone and len(getattr(self.backbone, 'domains', ())) > 1:
            raise InputError(
                f'model.type {type(self).__name__} sends every image along the paths of all '
                f"domains of its {type(self.backbone).__name__}: expected 'DomainEncoderDecoder', "
                'which sends each along the path of its own'
            )
        if set(self.backbone.tasks) != set(decode_heads):
            raise InputError(
                f'the backbone is for the tasks {list(self.backbone.tasks)}, '
                f'decode_heads for {list(decode_heads)}: they must be the same'
            )
        builder = DecoderBuilder(self.backbone, self.cost_shape)
        # mmengine's, not torch's: its init_weights reaches what it holds.
        self.decode_heads: Any = ModuleDict(
            {
                task: builder.build(task, decode_heads[task], f'decode_heads.{task}')
                for task in self.backbone.tasks
            }
        )
        self.auxiliary_heads: Any = builder.build_auxiliary(
            auxiliary_heads, dict(self.decode_heads.items())
        )
        builder.connect(
            [
                *self.decode_heads.values(),
                *(head for heads in self.auxiliary_heads.values() for head in heads.values()),
            ]
        )
        if self._starts_from_single_networks():
            for task, head in decode_heads.items():
                if head.get('init_cfg') is not None:
                    raise InputError(
                        f'decode_heads.{task}.init_cfg {head["init_cfg"]}: the decoder starts from '
                        f'the single-task network of single_checkpoints.{task}; leave out one'
                    )
        self.loss_balancing: Any = None
        if loss_balancing is not None:
            self.loss_balancing = build_loss_balancing(loss_balancing, self.tasks)
            self.loss_balancing.bind(self)

    def check_images(self, shape: tuple[int, int], images: str) -> None:
        """Refuse images of a size for which a decoder cannot compute, by a pass without computing.

        Args:
            shape: Their height and width in pixels.
            images: What they are, for messages.

        Raises:
            InputError: A decoder, or an auxiliary head, fails.
        """
        heads = {f'decode_heads.{task}': head for task, head in self.decode_heads.items()}
        for task, own in self.auxiliary_heads.items():
            heads |= {f'auxiliary_heads.{task} ({name})': head for name, head in own.items()}
        DecoderBuilder(self.backbone, shape).check_images(heads, images)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the order of the backbone."""
        return self.backbone.tasks

    def init_weights(self) -> None:
        """Initialise as ``init_cfg`` says; see :func:`load_single_networks`.

        Raises:
            InputError: It names a checkpoint of which nothing fits.
        """
        name_pretrained(self)
        if not self._starts_from_single_networks():
            require_fitting(self, self.init_cfg, f'the model ({type(self).__name__})')
            super().init_weights()
            return
        load_single_networks(self.backbone, self.decode_heads, self.init_cfg['checkpoints'])
        self.auxiliary_heads.init_weights()
        self._is_init = True

    def _starts_from_single_networks(self) -> bool:
        cfg = self.init_cfg
        return isinstance(cfg, Mapping) and cfg.get('type') == 'SingleCheckpoints'

    def extract_feat(self, inputs: Tensor) -> dict[str, Features]:
        """Return the features of each task."""
        return self.backbone(inputs)

    def encode_decode(
        self, inputs: Tensor, batch_data_samples: Sequence[MultiTaskDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return each task's map ``(N, channels, H, W)`` at the inputs' size.

        Tasks of whole images give ``(N, classes)``.
        """
        return {
            task: self.decode_heads[task].at_input_size(x, inputs.shape[2:])
            for task, x in self._forward(inputs).items()
        }

    def _forward(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return each task's map ``(N, channels, H / 4, W / 4)``."""
        features = self.extract_feat(inputs)
        return {task: head(features[task]) for task, head in self.decode_heads.items()}

    def labelled_tasks(self, data_samples: Sequence[MultiTaskDataSample]) -> list[str]:
        """Return the tasks with a valid label in the batch, on any rank.

        All ranks of a distributed run must call it together: they decide as one, so that none waits
        for gradients that another never computes.
        """
        present = [float(head.is_labelled(data_samples)) for head in self.decode_heads.values()]
        if dist.get_world_size() > 1:
            flags = torch.tensor(present, device=next(self.parameters()).device)
            dist.all_reduce(flags, 'max')
            present = flags.tolist()
        return [task for task, flag in zip(self.tasks, present, strict=True) if flag]

    def loss(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses of all tasks that have a label in the batch.

        Returns:
            ``{'<task>.loss_...': scalar}``; with ``loss_balancing`` also ``<task>.objective``, what
            is minimised for the task, and ``<task>.weight``.
        """
        features = self.extract_feat(inputs)
        return self._task_losses(features, data_samples, self.labelled_tasks(data_samples))

    def _task_losses(
        self,
        features: Mapping[str, Features],
        data_samples: Sequence[MultiTaskDataSample],
        tasks: Sequence[str],
    ) -> dict[str, Tensor]:
        """Compute the losses of some tasks; without any, a zero that gradients can flow from."""
        losses: dict[str, Tensor] = {}
        for task in tasks:
            maps = {name: head(features[task]) for name, head in self._heads_of(task)}
            # To look costs a wait for the GPU; a single process has the labels that there are.
            if dist.get_world_size() == 1 or self.decode_heads[task].is_labelled(data_samples):
                losses |= {
                    f'{name}.{key}': value
                    for name, head in self._heads_of(task)
                    for key, value in head.loss_by_feat(maps[name], data_samples).items()
                }
            else:  # another rank has labels
                losses[f'{task}.loss_unlabelled'] = sum(x.sum() for x in maps.values()) * 0
        if not losses and features:
            return {'loss_unlabelled': next(iter(features.values()))[-1].sum() * 0}
        return losses | self._balance(losses)

    def _heads_of(self, task: str) -> Iterable[tuple[str, Any]]:
        """Yield all heads that a task trains, by the beginnings of their losses' names."""
        yield task, self.decode_heads[task]
        if task in self.auxiliary_heads:
            for name, head in self.auxiliary_heads[task].items():
                yield f'{task}.{name}', head

    def _balance(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weigh the tasks' losses, within ``forward``: weights may be parameters."""
        if self.loss_balancing is None:
            return {}
        balanced: dict[str, Tensor] = {}
        for task, loss in losses_by_task(losses, self.tasks).items():
            balanced[f'{task}.objective'] = self.loss_balancing.objective(task, loss)
            balanced[f'{task}.weight'] = self.loss_balancing.weight(task).detach()
        return balanced

    def one_iteration(self) -> AbstractContextManager[None]:
        """Say that the losses parsed within are of one iteration, whose tasks come one by one."""
        return nullcontext() if self.loss_balancing is None else self.loss_balancing.one_iteration()

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses, as ``loss_balancing`` weighs them, and let it learn from them.

        The sum carries what each task adds to it (``mmbmtas.losses.balancing.parts_of``). The
        values for the log are on the CPU, which waits for a GPU here, once.

        Raises:
            DivergenceError: A loss is not finite; the message names it.
        """
        total, log_vars = self.sum_losses(losses)
        values = self.look_at(log_vars)
        if self.loss_balancing is not None:
            own = losses_by_task(_without_objectives(losses), self.tasks)
            own.pop(OTHER, None)
            if own:
                labelled = [task for task in own if f'{task}.loss_unlabelled' not in losses]
                self.loss_balancing.observe(own, labelled)
        return total, values

    def sum_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the losses as :meth:`parse_losses` does, without a look at the numbers.

        Nothing learns from them, and the values for the log stay on the device.
        """
        total, log_vars = super().parse_losses(_without_objectives(losses))
        parts = losses_by_task(_without_objectives(losses), self.tasks)
        objectives = {
            name.removesuffix('.objective'): value
            for name, value in losses.items()
            if name.endswith('.objective')
        }
        if objectives:
            parts |= objectives
            total = log_vars['loss'] = torch.stack([*parts.values()]).sum()
        return carry_parts(total, parts), log_vars

    def look_at(self, log_vars: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Bring the values for the log to the CPU, which waits for a GPU once.

        Args:
            log_vars: What :meth:`sum_losses` gives.

        Raises:
            DivergenceError: A loss is not finite; the message names it.
        """
        values = dict(zip(log_vars, fetch([*log_vars.values()]), strict=True))
        broken = {name: float(x) for name, x in values.items() if not math.isfinite(x)}
        if any('loss' in name for name in broken):
            raise DivergenceError(
                f'non-finite loss {broken}: training has diverged or a label is broken; a lower '
                'learning rate, or gradient clipping (optim_wrapper.clip_grad), may help'
            )
        return values

    def predict(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample] | None = None
    ) -> list[MultiTaskDataSample]:
        """Predict every task at the images' original size.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: Their samples; ``padding``, ``img_shape`` and ``ori_shape`` of the
                metainfo say which part of an input is the image and how large it was.

        Returns:
            The samples with ``pred_<task>``.
        """
        if data_samples is None:
            data_samples = [MultiTaskDataSample() for _ in range(len(inputs))]
        for sample, maps in zip(data_samples, self.predict_maps(inputs, data_samples), strict=True):
            for task, logits in maps.items():
                head = self.decode_heads[task]
                sample.set_data({f'pred_{task}': head.pack(head.to_prediction(logits))})
        return list(data_samples)

    def predict_maps(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]
    ) -> Iterator[dict[str, Tensor]]:
        """Yield each image's map of each task, undecided, at the image's original size.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: Their samples, with the metainfo that :meth:`predict` needs.

        Yields:
            ``{task: (channels, H, W)}``, float32; ``(classes,)`` of tasks of whole images.
        """
        maps = self.encode_decode(inputs)
        for index, sample in enumerate(data_samples):
            yield {
                task: self.decode_heads[task].at_image_size(x[index].float(), sample.metainfo)
                for task, x in maps.items()
            }

    def measure_cost(self, shape: tuple[int, int] | None = None) -> NetworkCost:
        """Measure the cost of the network's parts, without computing anything.

        Args:
            shape: Height and width of the input; ``cost_shape`` by default.
        """
        encoder = self.backbone.encoder
        with torch.device('meta'):
            stem = encoder.build_stem()
            layers = [encoder.build_layer(index) for index in range(encoder.num_layers)]
        shape = self.cost_shape if shape is None else require_shape('shape', shape)
        taps = getattr(self.backbone, 'taps', None)
        return measure(stem, layers, self.decode_heads, shape, encoder.low_level_index, taps)

    def measure_network(self, shape: tuple[int, int] | None = None) -> ModuleCost:
        """Measure the whole network as it is, whatever its backbone shares.

        Args:
            shape: Height and width of the input; ``cost_shape`` by default.
        """
        shape = self.cost_shape if shape is None else require_shape('shape', shape)
        image = torch.empty(1, 3, *shape, device='meta')
        backbone: Any = self.backbone
        features, cost = forward_cost(backbone, image)
        heads = self.decode_heads.items()
        return sum((forward_cost(head, features[task])[1] for task, head in heads), cost)


def _without_objectives(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what is minimised in the losses' place."""
    return {name: value for name, value in losses.items() if not name.endswith('.objective')}
