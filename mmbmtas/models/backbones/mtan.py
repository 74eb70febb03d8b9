"""MTAN: one encoder for all tasks, from which each task selects features by attention."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn

from mmbmtas.encoders import CONTEXT
from mmbmtas.registry import MODELS
from mmbmtas.structures.values import filled_in_from

from .pretrained import init_encoder, init_random
from .protocols import Features
from .task_encoders import TaskEncoders


@MODELS.register_module()
class MTAN(TaskEncoders):
    """Multi-Task Attention Network: a shared encoder, masks and context modules of each task.

    Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019. In every stage a task has
    a mask of its own, in [0, 1], for the stage's output ``p``, computed by two 1x1 convolutions
    from ``u``, the input of the stage's last block, and from what the task picked in the stage
    before. What it picks, ``mask * p``, goes through a refinement, a 3x3 convolution whose weights
    all tasks share, and 2x2 max-pooling where the next stage is smaller.

    The paper says little of this baseline (Appendix B); what is written here gives the
    multiply-adds of its tables. For these, ``u`` must have the channels of ``p``: in a stage of a
    single block it is ``p`` itself. A task's low-level features are what it picks in their stage
    (our choice).

    ``T`` tasks, ``S`` stages.

    Args:
        tasks: Task names, 1 to 16.
        encoder: Config of the encoder description, for example ``dict(type='MobileNetV2Encoder')``.
        separable: Whether refinements are depthwise separable, as with MobileNetV2.
        refine_last: Whether there is a refinement after the last stage too, before the context
            modules. The figures of the paper have one with ResNet-50, none with MobileNetV2.
        act_cfg: Activation of masks and refinements, by default ReLU. The paper has ReLU6 with
            MobileNetV2.
        dropout: Dropout rate before the context modules' projections.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with ImageNet weights for the shared
            encoder. By default random weights.

    Raises:
        ValueError: ``tasks`` are not 1 to 16 different names.

    Example:
        >>> network = MTAN(['semseg', 'edge'], {'type': 'MobileNetV2Encoder'}, separable=True)
        >>> features = network(torch.rand(2, 3, 64, 64))
        >>> [tuple(feature.shape) for feature in features['edge']]
        [(2, 24, 16, 16), (2, 128, 4, 4)]
    """

    contexts: Any  # torch's annotations cannot say what modules these hold
    masks: Any

    @filled_in_from('tasks', 'model.backbone.tasks')
    def __init__(
        self,
        tasks: Sequence[str],
        encoder: dict[str, Any],
        separable: bool = False,
        refine_last: bool = True,
        act_cfg: dict[str, Any] | None = None,
        dropout: float = 0.1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(tasks, encoder, 1, init_cfg)
        act_cfg = act_cfg or {'type': 'ReLU'}
        last = self.encoder.layer_names.index(CONTEXT)
        self.stem = self.encoder.build_stem()
        self.layers = nn.ModuleList(self.encoder.build_layer(index) for index in range(last))
        self.contexts = nn.ModuleDict(
            {task: self.encoder.build_layer(last, dropout) for task in self.tasks}
        )
        channels = [self.encoder.out_channels(stage[-1]) for stage in self.encoder.stages]
        self.masks = nn.ModuleList(
            nn.ModuleDict({task: self._build_mask(n, index > 0, act_cfg) for task in self.tasks})
            for index, n in enumerate(channels)
        )
        outputs = channels[1:] + channels[-1:] * refine_last
        self.refinements = nn.ModuleList(
            self._build_refinement(one, other, separable, act_cfg)
            for one, other in zip(channels, outputs, strict=False)
        )
        self.pool = nn.MaxPool2d(2, ceil_mode=True)

    def _build_mask(self, channels: int, after: bool, act_cfg: dict[str, Any]) -> nn.Module:
        """Build ``u``, with what was refined if the mask comes ``after`` another, to a mask."""
        return nn.Sequential(
            nn.Conv2d((1 + after) * channels, channels, 1),
            build_norm_layer(self.encoder.norm_cfg, channels)[1],
            build_activation_layer(act_cfg),
            nn.Conv2d(channels, channels, 1),
            build_norm_layer(self.encoder.norm_cfg, channels)[1],
            nn.Sigmoid(),
        )

    def _build_refinement(
        self, channels: int, outputs: int, separable: bool, act_cfg: dict[str, Any]
    ) -> nn.Module:
        """Build the convolution that brings picked features to the channels of the next stage."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if separable:
            layers['depthwise'] = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
            layers['depthwise_norm'] = build_norm_layer(self.encoder.norm_cfg, channels)[1]
            layers['depthwise_act'] = build_activation_layer(act_cfg)
        kernel = 1 if separable else 3
        layers['conv'] = nn.Conv2d(channels, outputs, kernel, padding=kernel // 2)
        layers['norm'] = build_norm_layer(self.encoder.norm_cfg, outputs)[1]
        layers['act'] = build_activation_layer(act_cfg)
        return nn.Sequential(layers)

    def forward(self, x: Tensor) -> dict[str, Features]:
        """Encode images ``(N, 3, H, W)``; return the features of each task."""
        x = self.stem(x)
        refined: dict[str, Tensor] = {}
        levels: dict[int, dict[str, Tensor]] = {}
        for index, stage in enumerate(self.encoder.stages):
            for layer in stage:
                before, x = x, self.layers[layer](x)
            u = before if len(stage) > 1 else x
            picked = {task: self._mask(index, task, u, refined) * x for task in self.tasks}
            levels |= {tap: picked for tap in self.taps if tap in stage}
            refined = picked
            if index < len(self.refinements):
                refined = {task: self.refinements[index](picked[task]) for task in self.tasks}
        levels[len(self.layers)] = {task: self.contexts[task](refined[task]) for task in self.tasks}
        return {task: tuple(levels[tap][task] for tap in self.taps) for task in self.tasks}

    def _mask(self, stage: int, task: str, u: Tensor, refined: dict[str, Tensor]) -> Tensor:
        """Compute a task's mask for a stage's output."""
        if not refined:
            return self.masks[stage][task](u)
        before = refined[task]
        if before.shape[2:] != u.shape[2:]:
            before = self.pool(before)
        return self.masks[stage][task](torch.cat([u, before], dim=1))

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield the shared encoder and refinements, which all tasks share, and what is a task's."""
        for shared in (self.stem, self.layers, self.refinements):
            yield shared, len(self.tasks)
        for own in (self.masks, self.contexts):
            yield own, 1

    def init_weights(self) -> None:
        """Initialise the shared encoder as ``init_cfg`` says, the rest randomly."""
        last = len(self.layers)
        copies = [*enumerate(self.layers), *((last, self.contexts[task]) for task in self.tasks)]
        init_encoder(self.encoder, self.stem, copies, self.init_cfg)
        init_random(self.masks)
        init_random(self.refinements)
        self._is_init = True
