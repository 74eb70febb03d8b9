"""What came out of the steps of a row: its numbers, and what its networks cost."""

import json
import math
from collections.abc import Sequence
from typing import Any

from mmbmtas.comparison.kinds import KINDS
from mmbmtas.comparison.networks import network_cost
from mmbmtas.comparison.results import Row
from mmbmtas.comparison.rows import Network, Run, digest
from mmbmtas.cost import ModuleCost
from mmbmtas.evaluation import HeadlineMetric, declared_metrics
from mmbmtas.launch.jobs import Step, StepFolders
from mmbmtas.structures import BranchedArchitecture


class Outcomes:
    """Reads what the steps of rows have left.

    Args:
        folders: Where steps work.
    """

    def __init__(self, folders: StepFolders) -> None:
        self.folders = folders
        self._costs: dict[str, ModuleCost] = {}

    def row(self, run: Run, headlines: Sequence[HeadlineMetric]) -> Row:
        """Collect what came out of a row all of whose steps are done."""
        results: dict[str, Any] = {}
        for test in run.tests:
            results |= json.loads(test.output.read_text())
        costs = sum(map(self._cost, run.networks), ModuleCost())
        tree = run.networks[0].tree if KINDS[run.model.kind].has_tree else None
        row = _row(run, 'done')
        row.metrics = {
            **{h.key: _number(results.get(h.key)) for h in headlines},
            **{key: _number(results[key]) for key in declared_metrics() if key in results},
        }
        step = tree.step if tree else None
        row.numbers = {
            'madds': costs.madds,
            'madds_paper': costs.madds_paper,
            'params': costs.params,
            'train_seconds': sum(map(self.folders.seconds, run.trainings)),
            'tree_seconds': self.folders.seconds(step) if step else 0.0,
        }
        row.tree = BranchedArchitecture.load(tree.path).describe() if tree else ''
        row.settings = digest(run.settings)
        return row

    def failure(self, run: Run, step: Step) -> Row:
        """Note what a row failed at."""
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
