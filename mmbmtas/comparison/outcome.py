"""The results of a row's steps: its numbers, and the costs of its networks."""

import json
import math
from collections.abc import Sequence
from typing import Any

from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.networks import network_cost, path_costs
from mmbmtas.comparison.results import TOP1, Row
from mmbmtas.comparison.rows import Network, Run, digest
from mmbmtas.cost import ModuleCost
from mmbmtas.evaluation import HeadlineMetric, declared_metrics
from mmbmtas.launch.jobs import Step, StepFolders
from mmbmtas.structures import as_architecture


class Outcomes:
    """Reads the results that the steps of rows have written.

    Args:
        folders: Where steps work.
    """

    def __init__(self, folders: StepFolders) -> None:
        self.folders = folders
        self._costs: dict[str, ModuleCost] = {}

    def row(self, run: Run, headlines: Sequence[HeadlineMetric]) -> Row:
        """Collect the results of a row whose steps are all done."""
        results: dict[str, Any] = {}
        for test in run.tests:
            results |= json.loads(test.output.read_text())
        costs = sum(map(self._cost, run.networks), ModuleCost())
        kind = KINDS[run.model.kind]
        listed = run.networks if kind.of_paths else run.networks[: kind.has_tree]
        trees = [network.tree for network in listed if network.tree is not None]
        row = _row(run, 'done')
        row.metrics = {
            **{h.key: _number(results.get(h.key)) for h in headlines},
            **{key: _number(results[key]) for key in declared_metrics() if key in results},
        }
        row.numbers = {
            'madds': costs.madds,
            'madds_paper': costs.madds_paper,
            'params': costs.params,
            'train_seconds': sum(map(self.folders.seconds, run.trainings)),
            'tree_seconds': sum(self.folders.seconds(t.step) for t in trees if t.step),
        }
        if kind.of_paths:
            row.numbers |= self._of_paths(run, row)
        row.tree = '; '.join(as_architecture(tree.path).describe() for tree in trees)
        row.settings = digest(run.settings)
        return row

    def _of_paths(self, run: Run, row: Row) -> dict[str, float]:
        """Return the costs that paths have besides, and the mean accuracy of the domains."""
        found = [
            path_costs(n.config, n.options, n.tree.path if n.tree else None) for n in run.networks
        ]
        accuracies = [v for key, v in row.metrics.items() if key.endswith(f'/{TOP1}')]
        mean = {TOP1: math.fsum(accuracies) / len(accuracies)} if accuracies else {}
        return {
            'madds_union': sum(costs.union for costs in found),
            'madds_prefix': sum(costs.prefix for costs in found),
            **mean,
        }

    def failure(self, run: Run, step: Step) -> Row:
        """Record the step at which a row failed."""
        row = _row(run, 'failed')
        tail = '\n'.join(line.strip() for line in self.folders.tail(step))
        row.error = f'{step.name}: {tail}'
        return row

    def _cost(self, network: Network) -> ModuleCost:
        """Count what a network costs, once for equal ones."""
        path = network.tree.path if network.tree else None
        key = f'{network.config} {json.dumps(dict(network.options))} '
        key += path.read_text() if path else ''
        if key not in self._costs:
            self._costs[key] = network_cost(network.config, network.options, path)
        return self._costs[key]


def _row(run: Run, status: str) -> Row:
    return Row(run.name, run.model.name, run.model.kind, run.seed, run.member, status)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
