"""The network that a search finds: a tree of encoder layers with one leaf per task."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbmtas.encoders import CONTEXT, Encoder, build_encoder, check_fits
from mmbmtas.errors import InputError
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.values import filled_in_from

from .checkpointing import run_checkpointed
from .pretrained import init_encoder
from .protocols import Features
from .seeding import branches_of, trained_weights
from .state import ArchitectureState


@MODELS.register_module()
class BranchedNetwork(ArchitectureState, BaseModule):
    """A tree-structured encoder; a prefix that tasks share runs once (paper, section 3.1).

    Args:
        architecture: The tree: a path of an ``architecture.json``, its content, or the object.
        encoder: The encoder or its config, if it should differ in anything but what the tree fixes,
            for example its normalisation. By default the tree's own.
        task: Serve this task alone, with the layers on its way only, so that the backbone fits a
            plain ``mmseg.EncoderDecoder``. By default all tasks of the tree.
        out_indices: With ``task``: the layers whose outputs are its features, counted from 0, for
            heads that read several levels. Layers after the last of them are not built. By default
            low-level features and those of the context module.
        dropout: Dropout rate before the context module's projection.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with ImageNet weights of mmpretrain or
            torchvision, which every branch receives, or with a checkpoint of a trained tree that
            has these tasks, which gives their branches. By default random weights.
        with_cp: Keep nothing of a layer but its input for the backward pass, and compute it again
            there: the same numbers in a fraction of the memory, at 1.6 times the time (on a CPU).

    Raises:
        ValueError: The tree is for another encoder or has no such task, or it has no layers
            ``out_indices``.

    Example:
        >>> encoder = {'type': 'MobileNetV2Encoder'}
        >>> tree = BranchedArchitecture.shared(['semseg', 'edge'], encoder, 18)
        >>> features = BranchedNetwork(tree)(torch.rand(2, 3, 64, 64))
        >>> [tuple(feature.shape) for feature in features['edge']]
        [(2, 24, 16, 16), (2, 128, 4, 4)]
    """

    architecture: BranchedArchitecture
    taps: tuple[int, ...]
    layers: Any  # a ModuleList of ModuleLists, which torch's annotations cannot say

    @filled_in_from('architecture', 'model.backbone.architecture')
    def __init__(
        self,
        architecture: str | PathLike | dict[str, Any] | BranchedArchitecture,
        encoder: dict[str, Any] | Encoder | None = None,
        task: str | None = None,
        out_indices: Sequence[int] | None = None,
        dropout: float = 0.1,
        init_cfg: dict[str, Any] | None = None,
        with_cp: bool = False,
    ) -> None:
        super().__init__(init_cfg)
        tree = BranchedArchitecture.of(architecture)
        name = _name(architecture)
        given = build_encoder(encoder) if encoder else build_encoder(tree.encoder, name)
        self.encoder: Encoder = given
        check_fits(tree, self.encoder, name)
        self.task = task
        self.with_cp = with_cp
        tree = replace(tree, encoder=self.encoder.to_config())
        self.architecture = tree if task is None else tree.for_tasks([task])
        self.taps = self.encoder.low_level_and_last
        if out_indices is not None:
            self.taps = self._checked(out_indices)
        num_layers = self.taps[-1] + 1
        self.stem = self.encoder.build_stem()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                self.encoder.build_layer(index, dropout if name == CONTEXT else 0.0)
                for _ in range(grouping.num_groups)
            )
            for index, (name, grouping) in enumerate(
                zip(self.encoder.layer_names, self.architecture.groupings, strict=True)
            )
            if index < num_layers
        )
        # For each branch, the position of the branch of the layer before that it reads.
        groupings = self.architecture.groupings[:num_layers]
        self._parents = [[0] * groupings[0].num_groups] + [
            [above.labels[group[0]] for group in grouping.groups]
            for above, grouping in itertools.pairwise(groupings)
        ]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks served, in the tree's order."""
        return self.architecture.tasks

    def _checked(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        """Check the layers that are read, which must come in the order of the layers."""
        last = self.encoder.num_layers - 1
        found = [*out_indices]
        are_layers = all(type(index) is int and 0 <= index <= last for index in found)
        if self.task is None or not found or not are_layers or sorted({*found}) != found:
            raise InputError(
                f'out_indices {found} of BranchedNetwork with task={self.task!r}: expected a task, '
                f'and layers from 0 to {last} in their order ({_layers_of(self.encoder)})'
            )
        return tuple(found)

    def forward(self, x: Tensor) -> dict[str, Features] | Features:
        """Encode images.

        Args:
            x: ``(N, 3, H, W)``.

        Returns:
            The features of each task, or of the one task the network was built for; with
            ``out_indices`` the outputs of these layers.
        """
        outputs = [self.stem(x)]
        levels = {}
        for index, (branches, parents) in enumerate(zip(self.layers, self._parents, strict=True)):
            outputs = [
                self._run_branch(branch, outputs[parent])
                for branch, parent in zip(branches, parents, strict=True)
            ]
            if index in self.taps:
                levels[index] = outputs
        groupings = self.architecture.groupings
        features = {
            task: tuple(levels[tap][groupings[tap].labels[index]] for tap in self.taps)
            for index, task in enumerate(self.tasks)
        }
        return features if self.task is None else features[self.task]

    def _run_branch(self, branch: nn.Module, x: Tensor) -> Tensor:
        """Run an operation, keeping its activations or not."""
        return run_checkpointed(branch, branch, x) if self.with_cp else branch(x)

    def shared_by(self) -> Iterator[tuple[nn.Module, int]]:
        """Yield every branch's module and the number of tasks that share it, the stem first."""
        yield self.stem, len(self.tasks)
        groupings = self.architecture.groupings[: len(self.layers)]
        for branches, grouping in zip(self.layers, groupings, strict=True):
            for branch, group in zip(branches, grouping.groups, strict=True):
                yield branch, len(group)

    def init_weights(self) -> None:
        """Initialise all branches as ``init_cfg`` says; see :func:`init_encoder`."""
        self._is_init = True
        if (trained := trained_weights(self.init_cfg)) is not None:
            self.load_state_dict(trained, strict=self.init_cfg.get('strict', True))
            return
        copies = ((index, copy) for index, layer in enumerate(self.layers) for copy in layer)
        absent = tuple(f'layers.{i}.' for i in range(len(self.layers), self.encoder.num_layers))
        init_encoder(
            self.encoder, self.stem, copies, self.init_cfg, lambda key: key.startswith(absent)
        )

    def own_weights(self, weights: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Name the weights of a tree that contains this one as this network does.

        Args:
            weights: Those of a checkpoint.
            prefix: Beginning of this network's names in them.
        """
        return branches_of(self.architecture, len(self.layers), weights, prefix)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take from a network of more tasks what is on the way of these."""
        own = self.own_weights(state_dict, prefix)
        state_dict.clear()
        state_dict.update(own)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _layers_of(encoder: Encoder) -> str:
    """Name an encoder's layers with their numbers, which ``out_indices`` count."""
    return ', '.join(f'{index} {name}' for index, name in enumerate(encoder.layer_names))


def _name(architecture: Any) -> str:
    """Name a tree in messages: by its file, if it was read from one."""
    return str(architecture) if isinstance(architecture, str | PathLike) else 'the architecture'
