"""The protocols that segmentors, loops, hooks and tools require of a backbone.

``T`` tasks, ``L`` encoder layers, ``C`` candidates of a layer.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from mmbmtas.encoders import Encoder
from mmbmtas.errors import InputError
from mmbmtas.structures import BranchedArchitecture, PathArchitecture

Features = tuple[Tensor, ...]
"""Low-level features ``(N, C_low, H / 4, W / 4)`` and context ``(N, C, H / 16, W / 16)``.

A backbone with an attribute ``taps``, at first ``encoder.low_level_and_last``, gives the outputs of
these layers. The segmentor sets it to ``encoder.taps`` where a decoder reads several levels.
"""

RoutingMode = Literal['relaxed', 'warmup', 'shared', 'argmax']


class Backbone(Protocol):
    """An encoder of several tasks: a tree, encoders that exchange features, or any other.

    Called with images ``(N, 3, H, W)`` it gives the :data:`Features` of each task by name.
    """

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in a fixed order."""

    @property
    def encoder(self) -> Encoder:
        """What it is built from: the channels of its features and the cost of its layers."""

    def shared_by(self) -> Iterable[tuple[nn.Module, int]]:
        """Yield its modules, each with the number of tasks that share it, in order of the data."""

    def __call__(self, x: Tensor, /) -> dict[str, Features]:
        """Encode images for all tasks."""


class Supernet(Backbone, Protocol):
    """A backbone that is searched: weights beside parameters of an architecture distribution.

    Called with images and some tasks it gives the features of these. Gradients reach what
    :meth:`weights` and :meth:`architecture_parameters` list, in turn.
    """

    tau: float
    """Temperature of relaxed routings."""

    def weights(self) -> Sequence[nn.Parameter]:
        """Return the model weights: all parameters but the architecture's."""

    def architecture_parameters(self) -> Sequence[nn.Parameter]:
        """Return the parameters of the architecture distribution."""

    def routing_probs(self) -> Tensor:
        """Return how likely each task takes each candidate of a layer, ``(L, T, C)``."""

    def set_routing_mode(self, mode: RoutingMode) -> None:
        """Choose how tasks are routed.

        Args:
            mode: ``relaxed``: by chance. ``warmup``: each by its own candidate. ``argmax``: by the
                most probable. ``shared``, which only a ``BranchedSupernet`` is asked for: all by
                the first.
        """

    def searched_modules(self) -> Iterable[nn.Module]:
        """Yield the modules that routings choose from, which see other inputs at each step."""

    def export_architecture(
        self, source: str | dict[str, Any] | None = None
    ) -> BranchedArchitecture:
        """Return the most probable architecture, without its cost."""

    def __call__(self, x: Tensor, tasks: Sequence[str] | None = None, /) -> dict[str, Features]:
        """Encode images for some tasks, by default for all."""


class DomainBackbone(Backbone, Protocol):
    """A backbone with a path for each of several domains, which have their own tasks.

    Called with images and a domain it gives the features of the domain's tasks.
    """

    @property
    def domains(self) -> Mapping[str, tuple[str, ...]]:
        """Tasks of each domain, in a fixed order."""

    def __call__(self, x: Tensor, domain: str | None = None, /) -> dict[str, Features]:
        """Encode images of a domain, or for all domains."""


class PathBackbone(Protocol):
    """A backbone in which the domains' paths are searched, by a policy.

    Called with images, a domain, a path and how likely decisions are averaged, it gives the
    :data:`Features` of the path.
    """

    policy: Any
    """Draws paths, see :class:`~mmbmtas.paths.policies.Policy`."""

    @property
    def domains(self) -> Mapping[str, tuple[str, ...]]:
        """Tasks of each domain, in a fixed order."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of all domains, in a fixed order."""

    @property
    def encoder(self) -> Encoder:
        """What it is built from."""

    def shared_by(self) -> Iterable[tuple[nn.Module, int]]:
        """Yield the modules that all tasks share, each with the number of tasks."""

    def weights(self) -> Sequence[nn.Parameter]:
        """Return the model weights: all parameters but the policy's."""

    def architecture_parameters(self) -> Sequence[nn.Parameter]:
        """Return the policy's parameters."""

    def routing_probs(self) -> Tensor:
        """Return how likely each domain takes each candidate of a layer, ``(L, D, C)``."""

    def searched_modules(self) -> Iterable[nn.Module]:
        """Yield the modules that paths choose from, which see other inputs at each step."""

    def export_architecture(self, source: str | dict[str, Any] | None = None) -> PathArchitecture:
        """Return the most probable paths, without their cost."""

    def __call__(
        self, x: Tensor, domain: str, path: Sequence[Any] | None = None, averaging: float = 0.0, /
    ) -> Features:
        """Encode images of a domain along a path, by default its most probable one."""


def require_members(value: object, protocol: type, owner: str) -> None:
    """Refuse an object without all members of a protocol.

    Args:
        value: A backbone.
        protocol: :class:`Backbone` or another protocol of this module.
        owner: The class that needs it, for the message.

    Raises:
        InputError: Members are missing; names them.
    """
    expected = {
        name
        for cls in protocol.__mro__
        for name in (*vars(cls), *vars(cls).get('__annotations__', ()))
        if cls.__module__ == __name__ and not name.startswith('_')
    }
    if missing := sorted(name for name in expected if not hasattr(value, name)):
        raise InputError(
            f'{type(value).__name__} as backbone of {owner}: it has no {", ".join(missing)}; see '
            f'{protocol.__name__} in {__name__}'
        )
