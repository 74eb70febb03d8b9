"""From a config of paths to paths in its space that no search has chosen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.encoders import Encoder, build_encoder
from mmbmtas.errors import InputError
from mmbmtas.launch import launch
from mmbmtas.paths.domains import as_domains
from mmbmtas.registry import MODELS, SCOPE, takes
from mmbmtas.structures import PathArchitecture, is_zero
from mmbmtas.structures.values import require_shape


@dataclass(frozen=True)
class PathConfig:
    """The paths that fit a config.

    Attributes:
        cfg: The config.
        domains: Tasks of each domain.
        encoder: The encoder, whose candidates are the space.
    """

    cfg: Config
    domains: dict[str, tuple[str, ...]]
    encoder: Encoder

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of all domains."""
        return tuple(task for tasks in self.domains.values() for task in tasks)

    @property
    def candidates(self) -> list[tuple[dict[str, Any], ...]]:
        """The candidates of each searched layer."""
        return [self.encoder.candidates(index) for index in range(self.encoder.num_searched)]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width at which costs are stated."""
        shape = self.cfg.get('cost_shape') or self.cfg.model.get('cost_shape', (512, 512))
        return require_shape('cost_shape', shape)

    def single(self, choice: str = 'middle') -> PathArchitecture:
        """Return one path for all domains (ours), which leaves no layer out.

        Args:
            choice: ``middle``: in each layer the candidate of middle cost, as dear as random paths
                are in the mean; ``largest``: the dearest one.
        """
        path = []
        costs = self.encoder.measure_candidates(self.shape)
        for layer, known in zip(self.candidates, costs, strict=True):
            kept = [index for index, candidate in enumerate(layer) if not is_zero(candidate)]
            order = sorted(kept, key=lambda index: known[index].madds)
            path.append(order[(len(order) - 1) // 2 if choice == 'middle' else -1])
        source = {'method': 'single_path', 'choice': choice}
        return self._paths(dict.fromkeys(self.domains, path), source)

    def random(self, seed: int) -> PathArchitecture:
        """Draw a path for each domain, every candidate of a layer equally likely.

        Args:
            seed: Of the draw.
        """
        rng = np.random.default_rng(seed)
        routing = {
            domain: [int(rng.integers(len(layer))) for layer in self.candidates]
            for domain in self.domains
        }
        return self._paths(routing, {'method': 'random_paths', 'seed': seed})

    def _paths(self, routing: dict[str, list[int]], source: dict[str, Any]) -> PathArchitecture:
        return PathArchitecture.from_routing(
            tuple(self.domains),
            self.encoder.to_config(),
            routing,
            candidates=self.candidates,
            layers=self.encoder.layer_names[: self.encoder.num_searched],
            source=source,
        )


def has_paths(path: str, options: dict[str, Any] | None = None) -> bool:
    """Tell whether a config is of paths of domains: whether its backbone takes ``domains``."""
    cfg = launch.read_config(path, options)
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    return takes(MODELS, backbone, 'domains', cfg.get('default_scope', SCOPE))


def read_path_config(path: str, options: dict[str, Any] | None = None) -> PathConfig:
    """Read the config of a search or a network of paths; nothing of its network is built.

    Raises:
        FileNotFoundError: There is no such config.
        InputError: It is of another kind.
    """
    cfg = launch.read_config(path, options)
    init_default_scope(cfg.get('default_scope', SCOPE))
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    heads, encoder = (cfg.get('model') or {}).get('decode_heads'), backbone.get('encoder')
    if not heads or not encoder:
        raise InputError(
            f'{path} is not the config of a search or a network of paths: model.decode_heads, or '
            'model.backbone.encoder, is missing'
        )
    domains = as_domains(backbone.get('domains') or [*heads])
    return PathConfig(cfg, domains, build_encoder(encoder, path))
