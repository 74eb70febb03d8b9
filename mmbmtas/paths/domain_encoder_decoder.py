"""A network whose images come from several domains, each with a path and decoders of its own."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import torch
from mmengine import dist
from mmengine.model import ModuleDict
from torch import Tensor

from mmbmtas.cost import NetworkCost
from mmbmtas.devices import to_device
from mmbmtas.errors import InputError
from mmbmtas.models.backbones.protocols import DomainBackbone, Features
from mmbmtas.models.segmentors import MultiTaskEncoderDecoder
from mmbmtas.registry import MODELS
from mmbmtas.structures.data_sample import MultiTaskDataSample
from mmbmtas.structures.values import require_shape

from .cost import PathNetworkCost, measure_paths
from .domains import require_domain


@MODELS.register_module()
class DomainEncoderDecoder(MultiTaskEncoderDecoder):
    """An encoder with one path per domain, and a decoder for each task of each domain.

    A batch may mix domains: the images of each run on its path and through its own decoders alone.
    The domain of an image is ``domain`` in its sample's metainfo, or where that has none the
    network's attribute :attr:`domain`.

    Args:
        backbone: Config of :class:`PathNetwork`, or of any other
            :class:`~mmbmtas.models.backbones.DomainBackbone`.
        args, kwargs: What else :class:`MultiTaskEncoderDecoder` takes.

    Attributes:
        domain: Whose images those are whose samples do not say; the only one if there is one, else
            at first None.

    Raises:
        InputError: As :class:`MultiTaskEncoderDecoder`.
    """

    BACKBONE: type = DomainBackbone
    backbone: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._domain = next(iter(self.domains)) if len(self.domains) == 1 else None

    @property
    def domains(self) -> Mapping[str, tuple[str, ...]]:
        """Tasks of each domain, in the order of the backbone."""
        return self.backbone.domains

    @property
    def domain(self) -> str | None:
        """The domain of images whose samples do not state one."""
        return self._domain

    @domain.setter
    def domain(self, name: str | None) -> None:
        self._domain = None if name is None else require_domain(name, self.domains, 'domain')

    def rows_by_domain(self, data_samples: Sequence[MultiTaskDataSample]) -> dict[str, list[int]]:
        """Return the positions of each domain's images in a batch, in the network's order.

        Raises:
            InputError: An image says of no domain, or of one that the network does not have.
        """
        rows: dict[str, list[int]] = {domain: [] for domain in self.domains}
        for row, sample in enumerate(data_samples):
            image = sample.metainfo.get('img_path', f'image {row} of the batch')
            domain = sample.metainfo.get('domain', self.domain)
            if domain is None:
                raise InputError(
                    f'{image} is of no domain: expected one of {[*self.domains]} as domain of its '
                    'data set, or chosen for the network (model.domain, --domain)'
                )
            rows[require_domain(domain, self.domains, f'{image}: domain')].append(row)
        return {domain: found for domain, found in rows.items() if found}

    def labelled_tasks(self, data_samples: Sequence[MultiTaskDataSample]) -> list[str]:
        """Return the tasks with a valid label on an image of their domain, on any rank.

        All ranks of a distributed run must call it together.
        """
        rows = self.rows_by_domain(data_samples)
        present = torch.zeros(len(self.tasks))
        for domain, found in rows.items():
            samples = [data_samples[row] for row in found]
            for task in self.domains[domain]:
                present[self.tasks.index(task)] = self.decode_heads[task].is_labelled(samples)
        if dist.get_world_size() > 1:
            present = present.to(next(self.parameters()).device)
            dist.all_reduce(present, 'max')
        return [task for task, flag in zip(self.tasks, present.tolist(), strict=True) if flag]

    def encode(self, inputs: Tensor, domain: str) -> dict[str, Features]:
        """Return the features of a domain's tasks."""
        return self.backbone(inputs, domain)

    def loss(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses of all tasks that have a label on an image of their domain."""
        labelled = self.labelled_tasks(data_samples)
        rows = self.rows_by_domain(data_samples)
        losses: dict[str, Tensor] = {}
        for domain, own in self.domains.items():
            tasks = [task for task in own if task in labelled]
            if not tasks:
                continue
            if domain not in rows:  # another rank has its images
                losses |= self._absent_losses(tasks)
                continue
            found = rows[domain]
            features = self.encode(take_rows(inputs, found), domain)
            losses |= self._task_losses(features, [data_samples[row] for row in found], tasks)
        if not losses:
            domain, found = next(iter(rows.items()))
            return self._task_losses(self.encode(take_rows(inputs, found), domain), [], [])
        return losses

    def _absent_losses(self, tasks: Sequence[str]) -> dict[str, Tensor]:
        """Return zeros from which gradients flow into some decoders, and what balances them."""
        losses = {
            f'{task}.loss_unlabelled': sum(
                (p.sum() for _, head in self._heads_of(task) for p in head.parameters()),
                torch.zeros(()),
            )
            * 0
            for task in tasks
        }
        return losses | self._balance(losses)

    def _forward(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the maps of the chosen domain's tasks; of all domains if none was chosen."""
        features = self.backbone(inputs, self.domain)
        return {task: self.decode_heads[task](found) for task, found in features.items()}

    def predict_maps(
        self, inputs: Tensor, data_samples: Sequence[MultiTaskDataSample]
    ) -> Iterator[dict[str, Tensor]]:
        """Yield each image's map of each task of its domain, at the image's original size.

        Args:
            inputs: ``(N, 3, H, W)``.
            data_samples: Their samples.

        Yields:
            ``{task: (channels, H, W)}``, float32; ``(classes,)`` of tasks of whole images.

        Raises:
            InputError: An image is of no domain, or of one that the network does not have.
        """
        found: dict[int, dict[str, Tensor]] = {}
        for domain, rows in self.rows_by_domain(data_samples).items():
            features = self.encode(take_rows(inputs, rows), domain)
            maps = {
                task: self.decode_heads[task].at_input_size(
                    self.decode_heads[task](features[task]), inputs.shape[2:]
                )
                for task in self.domains[domain]
            }
            for position, row in enumerate(rows):
                found[row] = {task: x[position] for task, x in maps.items()}
        for row, sample in enumerate(data_samples):
            yield {
                task: self.decode_heads[task].at_image_size(x.float(), sample.metainfo)
                for task, x in found[row].items()
            }

    def for_domain(self, domain: str) -> 'DomainEncoderDecoder':
        """Return a network of one domain alone, with the same weights.

        Raises:
            InputError: There is no such domain.
        """
        backbone = self.backbone.for_domain(domain)
        network = copy(self)
        network._modules = dict(self._modules)
        network.backbone = backbone
        network.decode_heads = ModuleDict(
            {task: self.decode_heads[task] for task in backbone.domains[domain]}
        )
        network.auxiliary_heads = ModuleDict(
            {task: heads for task, heads in self.auxiliary_heads.items() if task in network.tasks}
        )
        network.loss_balancing = None
        network.domain = domain
        return network

    def measure_paths(self, shape: tuple[int, int] | None = None) -> PathNetworkCost:
        """Measure the cost of the network's parts, without computing anything.

        Args:
            shape: Height and width of the input; ``cost_shape`` by default.
        """
        shape = self.cost_shape if shape is None else require_shape('shape', shape)
        backbone = self.backbone
        taps = getattr(backbone, 'taps', None)
        return measure_paths(backbone.encoder, self.domains, self.decode_heads, shape, taps)

    def measure_cost(self, shape: tuple[int, int] | None = None) -> NetworkCost:
        """Refuse: the parts of paths differ by domain, see :meth:`measure_paths`."""
        raise InputError(
            f'{type(self).__name__} has paths with several candidates per layer, not copies of one '
            'layer: the cost of trees of copies is not defined'
        )


def take_rows(inputs: Tensor, rows: Sequence[int]) -> Tensor:
    """Return some images of a batch, as a view where they lie at equal distances.

    Args:
        inputs: ``(N, 3, H, W)``.
        rows: Rising positions, at least one.
    """
    step = rows[1] - rows[0] if len(rows) > 1 else 1
    if [*rows] == [*range(rows[0], rows[-1] + 1, step)]:
        return inputs[rows[0] : rows[-1] + 1 : step]
    return inputs.index_select(0, to_device(torch.tensor([*rows]), inputs.device))
