"""Search with several weights of the resource loss, or several budgets, and compare the trees.

Each search is a run of tools/train.py in a folder of its own below DIR; finished ones are skipped
and interrupted ones resumed, so the same command goes on where it stopped. Writes DIR/sweep.json
and DIR/sweep.md.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmbmtas import launch
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.writing import written_beside

TRAIN = Path(__file__).parents[1] / 'train.py'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a search')
    parser.add_argument('-o', '--out', required=True, metavar='DIR', help='folder of the runs')
    parser.add_argument(
        '--weights', type=float, nargs='*', default=[], metavar='LAMBDA', help='values of lambda'
    )
    parser.add_argument(
        '--targets', type=float, nargs='*', default=[], metavar='MADDS', help='budgets'
    )
    parser.add_argument(
        '--target-weight',
        type=float,
        metavar='LAMBDA',
        help="lambda of the searches with a budget (default: the config's)",
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='further overrides of every search'
    )
    return parser.parse_args()


def list_runs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """List the searches: lambda, budget and seed of each."""
    runs = [{'weight': weight, 'target': None} for weight in args.weights]
    weight = args.target_weight
    if weight is None and args.targets:
        weight = launch.read_config(args.config).model.resource_loss.weight
    runs += [{'weight': weight, 'target': target} for target in args.targets]
    if not runs:
        raise InputError('nothing to do: name --weights, --targets or both')
    return [{**run, 'seed': seed} for run in runs for seed in args.seeds]


def search(config: str, work_dir: Path, run: dict[str, Any], options: list[str]) -> None:
    """Run one search, unless it is done; go on where it stopped."""
    done = work_dir / 'done'
    if done.exists():
        return
    overrides = [
        f'model.resource_loss.weight={run["weight"]}',
        f'randomness.seed={run["seed"]}',
        *options,
    ]
    if run['target'] is not None:
        overrides.append(f'model.resource_loss.target_madds={run["target"]}')
    command = [sys.executable, str(TRAIN), config, '--work-dir', str(work_dir), '--resume']
    subprocess.run([*command, '--cfg-options', *overrides], check=True, env=os.environ)
    done.touch()


def format_table(rows: list[dict[str, Any]]) -> str:
    """Lay the results out as a Markdown table."""
    lines = [
        '| lambda | budget (M) | seed | MAdds (M) | off budget | tree |',
        '|' + '--:|' * 5 + '---|',
    ]
    for row in rows:
        target = row['target']
        budget = '' if target is None else f'{target / 1e6:.1f}'
        off = '' if target is None else f'{row["madds"] / target - 1:+.1%}'
        lines.append(
            f'| {row["weight"]:g} | {budget} | {row["seed"]} | {row["madds"] / 1e6:.1f} | {off} '
            f'| {row["tree"]} |'
        )
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Search and compare as the command line says."""
    args = parse_args()
    out = Path(args.out)
    rows = []
    for run in list_runs(args):
        budget = '' if run['target'] is None else f'_budget_{run["target"]:g}'
        work_dir = out / f'lambda_{run["weight"]:g}{budget}_seed{run["seed"]}'
        search(args.config, work_dir, run, args.cfg_options)
        tree = BranchedArchitecture.load(work_dir / 'architecture.json')
        madds = (tree.madds or {})['network']
        rows.append({**run, 'madds': madds, 'tree': tree.describe()})
        for name, text in (
            ('sweep.json', json.dumps(rows, indent=2)),
            ('sweep.md', format_table(rows)),
        ):
            with written_beside(out / name) as beside:
                beside.write_text(text)
    print(format_table(rows))


if __name__ == '__main__':
    with one_line_errors():
        main()
