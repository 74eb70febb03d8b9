"""Say whether a supernet's judgement of paths foretells how they do after training.

Draws random paths, judges them and the searched ones within the supernet, trains all of them, and
reports Spearman's rho. What is done is not done again: the same command continues.

Example:
    python tools/analysis_tools/path_fidelity.py SEARCH.py SEARCH.pth TRAINING.py -o out/fidelity
"""

import argparse
import shlex
import sys
from pathlib import Path

from mmbmtas import launch
from mmbmtas.command_line import typed
from mmbmtas.comparison.path_fidelity import (
    Judged,
    draw_sets,
    judge,
    plan,
    score_of,
    write_fidelity,
)
from mmbmtas.comparison.progress import Progress
from mmbmtas.errors import InputError
from mmbmtas.launch.interruption import run_resumable
from mmbmtas.launch.jobs import (
    Scheduler,
    State,
    StepFolders,
    add_job_arguments,
    lock_folder,
    with_needs,
)
from mmbmtas.launch.overrides import OverrideAction, add_cfg_options

TOOLS = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('search', help='config of the search')
    parser.add_argument('checkpoint', help='checkpoint of the search')
    parser.add_argument('training', help='config of a network of paths')
    parser.add_argument('-o', '--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--number', type=int, default=10, help='random sets of paths (default: 10)')
    parser.add_argument(
        '--iters', type=int, help="iterations of a training (default: the config's)"
    )
    parser.add_argument('--seed', type=int, default=0, help='of draws and trainings (default: 0)')
    parser.add_argument(
        '--batches', type=int, default=8, help='validation batches of the search (default: 8)'
    )
    parser.add_argument(
        '--metric', default='top1', help='score after training (default: top1, the mean accuracy)'
    )
    add_job_arguments(parser)
    add_cfg_options(parser, 'data_root=data/pocket tasks=[digits,faces], of both configs')
    parser.add_argument(
        '--train-options',
        nargs='+',
        action=OverrideAction,
        metavar='KEY=VALUE',
        help='override entries of the config of the trainings alone',
    )
    return parser.parse_args()


def main() -> int:
    """Judge, train and report as the command line says; tell whether a training has failed."""
    args = parse_args()
    for name, least in (('number', 1), ('iters', 1), ('seed', 0), ('batches', 1), ('jobs', 1)):
        if (value := getattr(args, name)) is not None and value < least:
            raise InputError(f'--{name} {value}: expected {least} or more')
    launch.require_checkpoint(args.checkpoint)
    common = dict(args.cfg_options or {})
    own = {**common, **(args.train_options or {})}
    own |= {} if args.iters is None else {'max_iters': args.iters}
    launch.read_config(args.training, own)  # refused at once, if it means nothing
    sets = draw_sets(args.search, common, args.checkpoint, args.number, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    lock = lock_folder(args.out)
    folders = StepFolders(args.out / 'work')
    tests = plan(args.training, own, sets, args.seed, folders, TOOLS)
    steps = with_needs([*tests.values()])
    for step in steps:
        if folders.changes(step):
            raise InputError(
                f'{folders[step.name]} was made with other settings ({folders.changes(step)[0]}): '
                'choose another folder'
            )
    judged = judge(
        args.search, common, args.checkpoint, sets, args.batches, args.out / 'work' / 'supernet'
    )
    scheduler = Scheduler(steps, folders, args.jobs, shlex.split(args.launch), args.gpus, lock=lock)
    with Progress() as progress:
        scheduler.run(progress)
    rows = [
        Judged(name, params, quality, score_of(tests[name], args.metric))
        for name, (params, quality) in judged.items()
    ]
    print(write_fidelity(args.out, typed(sys.argv[1:]), args.metric, rows))
    print(f'Wrote {args.out / "report.md"}')
    return int(any(state is not State.DONE for state in scheduler.states.values()))


if __name__ == '__main__':
    run_resumable(main, 'path_fidelity')
