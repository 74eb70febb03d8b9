"""Run searches on problems whose best tree is known, and report how often they find it.

A row is one method on one problem with one seed: the tree that it chose, the tree's cost as a share
of the planted tree's, and the held-out errors of this tree, the planted tree and the shared tree,
all trained in the same way. Rows that exist in OUT/results.csv are not made again. So the same
command continues where it was stopped, and later seeds add to earlier ones. Only rows made with
--no-regret are made again by a command without this option. Writes OUT/report.md and recovery.png.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from planting.problems import PROBLEMS, Problem
from planting.report import read_rows, recovery, write_report, write_rows
from planting.runs import METHODS, train

from mmbmtas.errors import InputError
from mmbmtas.grouping import Tree
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.structures import TaskGrouping

_QUICK_PROBLEMS = ['pairs, layer 1', '3+1']
_QUICK_METHODS = ['similarity']


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-o', '--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--problems', nargs='+', metavar='NAME', help=f'of {[*PROBLEMS]}')
    parser.add_argument(
        '--trees',
        nargs='+',
        default=[],
        metavar='TREE',
        help="problems of your own, one letter per task: 'abc/ac|b'",
    )
    parser.add_argument('--width', type=int, default=4, help='channels of the branches of --trees')
    parser.add_argument('--methods', nargs='+', metavar='NAME', help=f'of {[*METHODS]}')
    parser.add_argument('--seeds', nargs='+', type=int, default=None)
    parser.add_argument('--jobs', type=int, default=1, help='number of parallel processes')
    parser.add_argument(
        '--no-regret', action='store_true', help='only search, do not train the trees'
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='two problems, three seeds, the search by similarity; exits with status 1 unless 5 of '
        '6 trees are the planted ones',
    )
    return parser.parse_args()


def main() -> int:
    """Make the rows that are missing and report all."""
    args = parse_args()
    names = args.problems or (_QUICK_PROBLEMS if args.quick else [*PROBLEMS])
    methods = args.methods or (_QUICK_METHODS if args.quick else [*METHODS])
    seeds = args.seeds or [*range(3 if args.quick else 20)]
    for what, given, known in (('problem', names, PROBLEMS), ('method', methods, METHODS)):
        if unknown := [name for name in given if name not in known]:
            raise InputError(f'unknown {what} {unknown[0]!r}: expected some of {[*known]}')
    problems = [] if args.trees and not args.problems else [PROBLEMS[name] for name in names]
    problems += [Problem(f'{text} (width {args.width})', text, args.width) for text in args.trees]
    for problem in problems:
        _ = problem.tree  # refuses what is no tree
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f'{args.out} is a file, expected a folder for the results')
    path = args.out / 'results.csv'
    rows = {(row['problem'], row['method'], int(row['seed'])): row for row in read_rows(path)}
    done = {
        key for key, row in rows.items() if args.no_regret or not math.isnan(float(row['error']))
    }
    jobs = [
        (problem, seed, [m for m in methods if (problem.name, m, seed) not in done])
        for seed, problem in itertools.product(seeds, problems)
    ]
    jobs = [job for job in jobs if job[2]]
    start = time.perf_counter()
    for number, made in enumerate(_run_all(jobs, args.jobs, not args.no_regret), 1):
        rows.update({(row['problem'], row['method'], row['seed']): row for row in made})
        write_rows([*rows.values()], path)
        left = (time.perf_counter() - start) / number * (len(jobs) - number)
        found = sum(row['recovered'] for row in made)
        print(
            f'{number} of {len(jobs)}: {made[0]["problem"]}, seed {made[0]["seed"]}: '
            f'{found} of {len(made)} methods found the tree; {left / 60:.0f} min left',
            flush=True,
        )
    print(write_report(_in_order(rows.values()), args.out))
    if args.quick:
        own = [
            rows[problem.name, m, seed] for problem in problems for m in methods for seed in seeds
        ]
        return int(recovery(own)[0] < 5 / 6)
    return 0


def _in_order(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort rows as problems and methods are listed, those of --trees behind."""
    problems, methods = ({name: i for i, name in enumerate(table)} for table in (PROBLEMS, METHODS))

    def place(row: Mapping[str, Any]) -> tuple[int, int]:
        return (
            problems.get(row['problem'], len(problems)),
            methods.get(row['method'], len(methods)),
        )

    return sorted(rows, key=place)


def _run_all(jobs: list[Any], processes: int, with_regret: bool) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each job as it ends."""
    if processes <= 1:
        for job in jobs:
            yield run_job(with_regret, *job)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(run_job, with_regret, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_job(
    with_regret: bool, problem: Problem, seed: int, methods: list[str]
) -> list[dict[str, Any]]:
    """Run some methods on a problem with a seed; a tree that several choose is trained once."""
    errors: dict[Tree, float | str] = {}

    def error(tree: Tree) -> float | str:
        if tree not in errors:
            errors[tree] = round(train(problem, seed, tree), 5) if with_regret else 'nan'
        return errors[tree]

    shared = (TaskGrouping.shared(len(problem.tasks)),) * len(problem.layers)
    rows = []
    for name in methods:
        tree, seconds = METHODS[name].run(problem, seed)
        rows.append(
            {
                'problem': problem.name,
                'seed': seed,
                'method': name,
                'tree': problem.describe(tree),
                'recovered': int(tree == problem.tree),
                'cost': round(problem.madds(tree) / problem.madds(problem.tree), 4),
                'error': error(tree),
                'planted_error': error(problem.tree),
                'shared_error': error(shared),
                'seconds': round(seconds, 1),
            }
        )
    return rows


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    with one_line_errors():
        sys.exit(main())
