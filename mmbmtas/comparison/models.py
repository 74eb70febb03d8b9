"""The content of a comparison: its models as the file lists them, checked and complete."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model of the comparison: how its networks are made, and for which seeds.

    Attributes:
        name: Its name, in tables and of folders.
        kind: Name of its kind, see :data:`mmbmtas.comparison.kinds.KINDS`.
        seeds: Seeds of its trainings.
        options: Overrides of its training's config, those of all models included.
        settings: The keys of its kind, all of them.
        own_options: Those overrides that its entry states itself.
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    own_options: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]

    @property
    def number(self) -> int:
        """Number of networks per seed: several for random trees or permutations."""
        return self.settings.get('number', 1)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The content of a comparison's file.

    Attributes:
        path: The file.
        branched: Config of the training of branched networks.
        search: Config of the search, if there is one.
        models: The models, in the order of the tables.
        data_root: Where the data lie, if not where the configs say.
        options: Overrides of every training's config.
        headlines: For some tasks, which of its metrics stands for it.
        paper: File with the paper's figures, to print beside.
    """

    path: str
    branched: str
    search: str | None
    models: tuple[ModelSpec, ...]
    data_root: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    headlines: tuple[str, ...] = ()
    paper: str | None = None

    def model(self, name: str) -> ModelSpec:
        """Return the model of a name."""
        return next(model for model in self.models if model.name == name)

    def first(self, kind: str) -> ModelSpec | None:
        """Return the first model of a kind, if there is one."""
        return next((model for model in self.models if model.kind == kind), None)
