"""Check what `make demo` has left behind: its files, and the form and numbers of its summary."""

import json
import math
import sys
from pathlib import Path

from PIL import Image

TASKS = {
    'semseg': ('semseg/mIoU', False),
    'human_parts': ('human_parts/mIoU', False),
    'saliency': ('saliency/maxIoU', False),
    'normals': ('normals/mean', True),
    'edge': ('edge/pixel_AP', False),
}
NETWORKS = {'searched', 'random', 'shared', 'all_apart', 'single'}


def expect(condition: bool, message: str) -> None:
    """End with a message unless the condition holds."""
    if not condition:
        sys.exit(f'check_demo: {message}')


def check_tasks(tasks: dict) -> None:
    """Every task has its metric, its direction and two numbers in the metric's range."""
    expect(set(tasks) == set(TASKS), f'tasks are {sorted(tasks)}, expected {sorted(TASKS)}')
    for name, entry in tasks.items():
        keys = {'metric', 'value', 'random', 'constant', 'lower_is_better'}
        expect(set(entry) == keys, f'{name} has the keys {sorted(entry)}, expected {sorted(keys)}')
        metric, lower = TASKS[name]
        expect(entry['metric'] == metric, f'{name} is measured by {entry["metric"]}, not {metric}')
        expect(entry['lower_is_better'] is lower, f'{name}: lower_is_better should be {lower}')
        for key in ('value', 'random', 'constant'):
            number = entry[key]
            good = type(number) is float and math.isfinite(number)
            most = 180 if lower else 100
            expect(good and 0 <= number <= most, f'{name}: {key} is {number!r}, not 0 to {most}')


def check_costs(summary: dict) -> None:
    """The searched tree lies between Shared and all apart; the random one costs as much."""
    for figure in ('madds', 'params'):
        costs = summary[figure]
        expect(set(costs) == NETWORKS, f'{figure} has {sorted(costs)}, not {sorted(NETWORKS)}')
        expect(all(type(c) is int and c > 0 for c in costs.values()), f'{figure}: {costs}')
        ordered = costs['shared'] <= costs['searched'] <= costs['all_apart'] < costs['single']
        expect(ordered, f'{figure} are not in the order shared, searched, all_apart, single')
    searched, random = (summary['madds'][name] for name in ('searched', 'random'))
    expect(abs(random / searched - 1) <= 0.02, f'the random tree takes {random}, not {searched}')


def check_files(out: Path) -> None:
    """Every output is there, pictures can be read, and nothing is half-written."""
    architecture = json.loads((out / 'architecture.json').read_text())
    expect(architecture['format'] == 'mmbmtas.architecture', 'architecture.json is of no tree')
    expect(set(architecture['tasks']) == set(TASKS), 'architecture.json is for other tasks')
    expect('beats' in (out / 'summary.md').read_text(), 'summary.md has no verdict')
    pictures = sorted((out / 'predictions').glob('*.png'))
    expect(len(pictures) >= 3, f'{len(pictures)} pictures of predictions, expected 3 or more')
    for path in [out / 'tree.png', out / 'overview.png', *pictures]:
        with Image.open(path) as picture:
            picture.load()
            expect(min(picture.size) > 200, f'{path} is only {picture.size}')
    names = {path.name for path in out.iterdir()}
    known = {'architecture.json', 'overview.png', 'predictions', 'summary.json', 'summary.md'}
    known |= {'tree.png', 'work'}
    expect(names == known, f'{out} holds {sorted(names)}, expected {sorted(known)}')


def main() -> None:
    """Check the folder that the command line names."""
    out = Path(sys.argv[1])
    summary = json.loads((out / 'summary.json').read_text())
    keys = {'tasks', 'delta_m', 'madds', 'params'}
    expect(set(summary) == keys, f'summary.json has the keys {sorted(summary)}')
    check_tasks(summary['tasks'])
    check_costs(summary)
    check_files(out)
    print(f'check_demo: {out} is complete')


if __name__ == '__main__':
    main()
