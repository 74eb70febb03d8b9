"""The configs that a comparison names, each read once, and the costs within their reach."""

import json
from collections.abc import Mapping
from typing import Any

from mmbmtas.comparison.models import Comparison
from mmbmtas.errors import InputError
from mmbmtas.launch.path_config import PathConfig, has_paths, read_path_config
from mmbmtas.launch.tree_config import TreeConfig, read_tree_config


class ComparedConfigs:
    """Configs of a comparison.

    Args:
        comparison: The comparison.

    Attributes:
        comparison: The comparison.
        trained: The config that trains the networks, with the overrides of all models.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self._read: dict[str, Any] = {}
        self.trained: TreeConfig | PathConfig = self.read(comparison.branched, comparison.options)

    @property
    def branched(self) -> TreeConfig:
        """The config, where it trains branched networks."""
        assert isinstance(self.trained, TreeConfig)
        return self.trained

    def read(self, config: str, options: Mapping[str, Any]) -> Any:
        """Read a config of a search or of networks, of trees or of paths, with overrides."""
        key = f'{config} {json.dumps(dict(options), default=repr)}'
        if key not in self._read:
            read = read_path_config if has_paths(config, dict(options)) else read_tree_config
            self._read[key] = read(config, dict(options))
        return self._read[key]

    def check_tasks(self, tasks: Mapping[str, Any] | tuple[str, ...], config: str, of: str) -> None:
        """Check that a config is for the tasks of the networks.

        Args:
            tasks: Its tasks.
            config: Its path.
            of: What the message begins with.

        Raises:
            ValueError: It is for others.
        """
        if set(tasks) != set(self.trained.tasks):
            raise InputError(
                f'{of}: {config} is for the tasks {[*tasks]}, '
                f'{self.comparison.branched} for {[*self.trained.tasks]}'
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
