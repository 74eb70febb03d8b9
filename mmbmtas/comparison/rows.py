"""The rows that a comparison plans: their networks, trees, steps and names."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbmtas.comparison.models import ModelSpec
from mmbmtas.launch.jobs import Step


@dataclass(frozen=True, eq=False)
class Tree:
    """An architecture file that a step writes, that an earlier run has stored, or a given one.

    Attributes:
        name: Under which it is stored beside the results.
        path: Where it is.
        settings: What decides it.
        step: Writes it; None if it is there.
    """

    name: str
    path: Path
    settings: Mapping[str, Any]
    step: Step | None

    @property
    def needs(self) -> tuple[Step, ...]:
        """The steps that must be done before the file exists."""
        return (self.step,) if self.step else ()


@dataclass(frozen=True, eq=False)
class Network:
    """A network that is trained.

    Attributes:
        config: Its training's config.
        options: Overrides of it.
        tree: Its architecture; None where the config says all.
        inputs: What else decides it, such as the content of a file that an override names.
    """

    config: str
    options: Mapping[str, Any]
    tree: Tree | None
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Run:
    """A row of the results: a model with a seed.

    Attributes:
        name: Its name.
        model: The model.
        seed: Seed of the training.
        member: Which of several networks of this model and seed, from 1; 0 if there is only one.
        networks: Its networks: one, or those of the single tasks.
        trainings: A step for each network.
        tests: Likewise.
        settings: What decides the results.
    """

    name: str
    model: ModelSpec
    seed: int
    member: int
    networks: tuple[Network, ...]
    trainings: tuple[Step, ...]
    tests: tuple[Step, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that determine the results, by step."""
        return {test.name.rpartition('/')[0]: dict(test.settings) for test in self.tests}


def members(model: ModelSpec) -> range:
    """Numbers of a model's networks for one seed: only 0, or 1 to their number."""
    return range(1) if model.number == 1 else range(1, model.number + 1)


def run_name(model: ModelSpec, seed: int, member: int) -> str:
    """Name of a row, and of its folder."""
    return f'{model.name}_seed{seed}' + (f'_{member}' if member else '')


def short(config: str) -> str:
    """A config's name and folder, wherever it was found."""
    return '/'.join(Path(config).parts[-2:])


def digest(settings: Mapping[str, Any]) -> str:
    """A short name for settings, equal (except by chance) only if the settings are."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
