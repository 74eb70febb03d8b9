"""Times of the networks of finished rows, measured in one process."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbmtas.comparison.results import Row
from mmbmtas.comparison.rows import Run, digest
from mmbmtas.launch.jobs import Step, StepFolders
from mmbmtas.writing import write_json


def networks_to_time(runs: Sequence[Run], rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """List the networks of finished rows, as ``benchmark_networks.py`` reads them.

    Of the rows of a model that cost the same, such as permutations, the first is listed.

    Args:
        runs: All rows that are planned.
        rows: Those that are finished.
    """
    first = {_kind_of_network(row): row.run for row in reversed(rows)}
    return {
        run.name: [
            {
                'config': network.config,
                'options': dict(network.options),
                'architecture': str(network.tree.path) if network.tree else None,
            }
            for network in run.networks
        ]
        for run in runs
        if run.name in first.values()
    }


def are_timed(rows: Sequence[Row]) -> bool:
    """Tell whether all rows have a time, measured in one place."""
    one_place = len({row.latency_place for row in rows}) == 1
    return one_place and all('latency_ms' in row.numbers for row in rows)


def timing_step(
    networks: Mapping[str, Sequence[Mapping[str, Any]]], folders: StepFolders, tools: Path
) -> Step:
    """Prepare the step that times networks again."""
    folder = folders['latency']

    def command() -> list[str | Path]:
        write_json(networks, folder / 'networks.json')
        tool = tools / 'analysis_tools' / 'benchmark_networks.py'
        return [tool, folder / 'networks.json', '-o', folder / 'latency.json']

    settings = {'networks': digest({'networks': networks})}
    step = Step('latency', 'latency', settings, command, folder / 'latency.json')
    folders.forget(step)
    return step


def put_times(step: Step, rows: Sequence[Row], of_run: Mapping[str, Row]) -> None:
    """Give finished rows the times that a step has measured.

    Args:
        step: The step, done.
        rows: The rows.
        of_run: All rows by their names.
    """
    found = json.loads(step.output.read_text())
    milliseconds = {
        _kind_of_network(of_run[name]): round(value, 3)
        for name, value in found['milliseconds'].items()
    }
    for row in rows:
        row.numbers['latency_ms'] = milliseconds[_kind_of_network(row)]
        row.latency_place = found['place']


def _kind_of_network(row: Row) -> tuple[str, float]:
    """Return what the time of a row's networks depends on."""
    return row.model, row.numbers['madds']
