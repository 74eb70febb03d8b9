"""The settings of a search of cells: the config's entry ``cell_search``."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmbmtas.errors import InputError
from mmbmtas.structures import CellSpace
from mmbmtas.structures.values import (
    require_count,
    require_positive,
    require_shape,
    require_share,
)

STRIDE = 16
"""Of the features that context modules read."""
ASPP = {'type': 'ContextModule', 'dilations': [1, 6, 12, 18], 'separable': True}
"""The reference of every search, trial 0: the separable ASPP of DeepLabv3+."""
PUBLISHED = str(Path(__file__).parents[1] / '.mim/configs/bmtas/cells/dpc_cityscapes.json')
"""The cell that was found on Cityscapes, trial 1."""


@dataclass(frozen=True)
class CellSearchSettings:
    """How cells are searched; docs/cells.md explains the entries.

    Attributes:
        pipeline: Transforms of a training image, without chance, packing last.
        mirror: The transform that mirrors, which is put before the packing.
        published: File of the published cell, trial 1.
        trials: Trials in all, references included.
        space: Arguments of :class:`CellSpace`.
        sampler: ``type`` and arguments: ``NearBest``, or a sampler of Optuna by its name.
        references: Further context modules by name, tried after ASPP and the published cell.
        iterations: Iterations of a trial.
        batch_size: Images of an iteration.
        crop: Height and width of the windows in pixels, multiples of 16; None is the whole.
        optimizer: The optimiser's config.
        power: Of the polynomial rate.
        rungs: Shares of the iterations after which a trial is scored, the last 1.
        max_madds: Budget of the context module's multiply-adds on the crop.
        max_ms: Budget of its measured milliseconds on the crop.
        objectives: ``score``, or ``score`` and ``madds`` for samplers of several.
        metric: The number that is the score; by default Delta_m against trial 0 for several
            tasks, and the task's own number for one.
        search_fraction: Share of the training images that trials are scored on.
        split_seed: Of the choice of these.
        max_images: Training images to use; None is all.
        low_level: Whether low-level features are stored; without them decoders read zeros.
        threads: CPU threads of a trial; another number rounds otherwise.
        full: Overrides of the config for the full training of the best, by dotted name.

    Raises:
        InputError: An entry is unknown, or means nothing.
    """

    pipeline: list[dict[str, Any]]
    mirror: dict[str, Any]
    published: str = PUBLISHED
    trials: int = 48
    space: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=lambda: {'type': 'NearBest'})
    references: dict[str, dict[str, Any]] = field(default_factory=dict)
    iterations: int = 1000
    batch_size: int = 8
    crop: tuple[int, int] | None = None
    optimizer: dict[str, Any] = field(
        default_factory=lambda: {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, 'weight_decay': 4e-5}
    )
    power: float = 0.9
    rungs: tuple[float, ...] = (1.0,)
    max_madds: float | None = None
    max_ms: float | None = None
    objectives: tuple[str, ...] = ('score',)
    metric: str | None = None
    search_fraction: float = 0.2
    split_seed: int = 0
    max_images: int | None = None
    low_level: bool = True
    threads: int = 1
    full: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ('trials', 'iterations', 'batch_size', 'threads'):
            require_count(f'cell_search.{name}', getattr(self, name), most=10**9)
        require_count('cell_search.split_seed', self.split_seed, least=0, most=2**31)
        if self.max_images is not None:
            require_count('cell_search.max_images', self.max_images, least=2, most=10**9)
        for name in ('max_madds', 'max_ms'):
            if getattr(self, name) is not None:
                require_positive(f'cell_search.{name}', getattr(self, name))
        require_share('cell_search.search_fraction', self.search_fraction, below_one=True)
        if self.crop is not None:
            height, width = require_shape('cell_search.crop', self.crop)
            if height % STRIDE or width % STRIDE:
                raise InputError(f'cell_search.crop {self.crop}: expected multiples of {STRIDE}')
            object.__setattr__(self, 'crop', (height, width))
        object.__setattr__(self, 'rungs', tuple(self.rungs))
        object.__setattr__(self, 'objectives', tuple(self.objectives))
        rising = all(0 < share <= 1 for share in self.rungs) and [*self.rungs] == sorted(
            {*self.rungs}
        )
        if not rising or not math.isclose(self.rungs[-1], 1):
            raise InputError(
                f'cell_search.rungs {self.rungs}: expected rising shares of the iterations that '
                'end with 1, such as (1/9, 1/3, 1)'
            )
        if self.objectives not in (('score',), ('score', 'madds')):
            raise InputError(
                f"cell_search.objectives {self.objectives}: expected ('score',) or "
                "('score', 'madds')"
            )
        if len(self.objectives) > 1 and len(self.rungs) > 1:
            raise InputError('cell_search: rungs prune by the score alone: state one objective')
        if not isinstance(self.sampler, Mapping) or not isinstance(self.sampler.get('type'), str):
            raise InputError(f'cell_search.sampler {self.sampler!r}: expected dict(type=NAME)')
        if not self.pipeline:
            raise InputError('cell_search.pipeline is empty: expected transforms')

    @classmethod
    def from_config(cls, cfg: Config) -> 'CellSearchSettings':
        """Read the settings of a config.

        Raises:
            InputError: It has none, or an entry is unknown or missing.
        """
        stated = cfg.get('cell_search')
        if not isinstance(stated, Mapping):
            raise InputError(f'{cfg.filename}: expected a dict cell_search, see docs/cells.md')
        names = [entry.name for entry in dataclasses.fields(cls)]
        for name in stated:
            if name not in names:
                raise InputError(f'{cfg.filename}: cell_search.{name} is unknown: not in {names}')
        for name in ('pipeline', 'mirror'):
            if name not in stated:
                raise InputError(f'{cfg.filename}: cell_search.{name} is missing')
        return cls(**cfg.to_dict()['cell_search'])

    @property
    def cells(self) -> CellSpace:
        """The space of cells."""
        try:
            return CellSpace(**self.space)
        except TypeError as error:
            raise InputError(f'cell_search.space {self.space}: {error}') from error

    @property
    def contexts(self) -> dict[str, dict[str, Any]]:
        """The references by name, in the order of their trials."""
        published = {'type': 'DensePredictionCell', 'cell': self.published}
        return {'ASPP': ASPP, 'published cell': published, **self.references}
