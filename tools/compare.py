"""Train, test and compare the models that a file lists: tables, plots and their numbers.

    python tools/compare.py configs/compare/scenes.py -o out/compare --jobs 2

The same command continues after an interruption and repeats nothing that is done. It writes
results.csv, report.md, report.html, their pictures and tables for LaTeX to DIR, and trainings, logs
and checkpoints to DIR/work. A row of results.csv appears as soon as it is finished.
docs/compare.md explains the file and the results.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mmbmtas.command_line import typed
from mmbmtas.comparison.harness import Harness
from mmbmtas.comparison.progress import Progress
from mmbmtas.comparison.report import read_paper, write_report
from mmbmtas.comparison.spec import read_comparison
from mmbmtas.comparison.tables import write_tables
from mmbmtas.errors import InputError
from mmbmtas.launch.interruption import run_resumable
from mmbmtas.launch.jobs import Resources, add_job_arguments, with_needs
from mmbmtas.launch.overrides import add_cfg_options

TOOLS = Path(__file__).resolve().parent
if Path.cwd() == TOOLS.parent:
    TOOLS = Path('tools')  # for shorter command lines


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('spec', help='the file that lists the models')
    parser.add_argument(
        '-o', '--out', type=Path, required=True, metavar='DIR', help='folder of the results'
    )
    parser.add_argument(
        '--work-dir', type=Path, help='folder of trainings and checkpoints (default: DIR/work)'
    )
    add_job_arguments(parser)
    parser.add_argument(
        '--rerun',
        action='store_true',
        help='run rows and steps again that were made with other settings',
    )
    parser.add_argument(
        '--latency',
        choices=['auto', 'again', 'never'],
        default='auto',
        help='measure the time per image at the end: where it is missing (default), again, or '
        'never',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing: write the report of the rows that exist; works at any time',
    )
    parser.add_argument('--dry-run', action='store_true', help='list the steps to run, and exit')
    add_cfg_options(parser, 'data_root=/data/scenes seeds=[0]')
    return parser.parse_args()


def main() -> int:
    """Compare as the command line says."""
    args = parse_args()
    if args.jobs < 1:
        raise InputError(f'--jobs {args.jobs}: expected at least 1')
    comparison = read_comparison(args.spec, args.cfg_options)
    paper = read_paper(comparison.paper) if comparison.paper else None
    harness = Harness(comparison, args.out, args.work_dir or args.out / 'work', TOOLS)
    if args.dry_run:
        harness.check_settings(args.rerun)
        for step in with_needs([test for run in harness.missing() for test in run.tests]):
            print(f'{step.name}{" (done)" if harness.folders.is_done(step) else ""}')
        return 0
    timed = args.report_only or carry_out(harness, args)
    names = [model.name for model in comparison.models]
    rows = harness.listed_rows()
    words = [word for word in sys.argv[1:] if word != '--report-only']
    command = typed(words)
    title = f'Comparison: {Path(args.spec).stem}'
    write_report(args.out, title, command, rows, names, harness.headlines, paper)
    write_tables(args.out, rows, names, harness.headlines)
    failed = [row.run for row in rows if not row.is_done]
    print(f'Wrote {args.out / "report.md"}, report.html, table.tex and table.csv')
    if failed:
        print(f'Failed: {", ".join(failed)}; the report shows the last lines of their logs')
    return int(bool(failed) or not timed)


def carry_out(harness: Harness, args: argparse.Namespace) -> bool:
    """Train, test and time what is missing; tell whether the times are there."""
    harness.lock()
    harness.check_settings(args.rerun)
    harness.check_data()
    resources = Resources(args.jobs, shlex.split(args.launch), args.gpus)
    with Progress() as progress:
        harness.train(resources, progress)
        return args.latency == 'never' or harness.measure_latency(
            resources, progress, args.latency == 'again'
        )


if __name__ == '__main__':
    run_resumable(main, 'compare')
