"""The configs that a comparison names, each read once, and what costs are within their reach."""

import json
from collections.abc import Mapping
from typing import Any

from mmbmtas.comparison.models import Comparison
from mmbmtas.errors import InputError
from mmbmtas.launch.tree_config import TreeConfig, read_tree_config


class ComparedConfigs:
    """Configs of a comparison.

    Args:
        comparison: The comparison.

    Attributes:
        comparison: The comparison.
        branched: The config that trains branched networks, with the overrides of all models.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self._read: dict[str, TreeConfig] = {}
        self.branched = self.read(comparison.branched, comparison.options)

    def read(self, config: str, options: Mapping[str, Any]) -> TreeConfig:
        """Read a config of a search or of branched networks, with overrides."""
        key = f'{config} {json.dumps(dict(options), default=repr)}'
        if key not in self._read:
            self._read[key] = read_tree_config(config, dict(options))
        return self._read[key]

    def check_tasks(self, tasks: Mapping[str, Any] | tuple[str, ...], config: str, of: str) -> None:
        """See that a config is for the tasks of the branched networks.

        Args:
            tasks: Its tasks.
            config: Its path.
            of: What the message begins with.

        Raises:
            ValueError: It is for others.
        """
        if set(tasks) != set(self.branched.tasks):
            raise InputError(
                f'{of}: {config} is for the tasks {[*tasks]}, '
                f'{self.comparison.branched} for {[*self.branched.tasks]}'
            )


def check_reach(madds: float | None, config: TreeConfig, what: str, is_cap: bool = False) -> None:
    """Refuse a cost that no tree has, or a cap below that of every tree.

    Raises:
        ValueError: It is out of reach.
    """
    low, high = config.cost.shared().madds, config.cost.all_apart().madds
    if madds is not None and not (low <= madds and (madds <= high or is_cap)):
        raise InputError(
            f'{what} of {madds:,.0f} multiply-adds is out of reach: the tree that shares all '
            f'layers takes {low:,}, the one that shares none {high:,}'
        )
