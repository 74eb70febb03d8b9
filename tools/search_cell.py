"""Search for a dense prediction cell: short trainings on features, then full ones of the best.

    python tools/search_cell.py configs/dpc/search_cell_scenes.py -o out/cells --jobs 2 --rerank 4

The same command continues after an interruption. It writes trials.jsonl, cell.json (the best so
far), report.md and report.html to DIR; docs/cells.md explains these files. Needs Optuna: pip
install optuna.
"""

import argparse
import shlex
import sys
from pathlib import Path

from mmbmtas.command_line import typed
from mmbmtas.extras import import_extra
from mmbmtas.launch.interruption import run_resumable
from mmbmtas.launch.jobs import add_job_arguments
from mmbmtas.launch.overrides import add_cfg_options

TOOLS = Path(__file__).resolve().parent


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config with an entry cell_search')
    parser.add_argument(
        '-o', '--out', type=Path, required=True, metavar='DIR', help='folder of the results'
    )
    parser.add_argument(
        '--trials',
        type=int,
        help='total number of trials, including references (default: that of the config)',
    )
    add_job_arguments(parser)
    parser.add_argument('--seed', type=int, default=0, help='seed of the search (default: 0)')
    parser.add_argument(
        '--rerank',
        type=int,
        default=0,
        metavar='K',
        help='train the K best cells in full (default: 0)',
    )
    parser.add_argument(
        '--storage',
        metavar='URL',
        help='database of the trials, such as postgresql://...; machines that run the same '
        'command with it share the work (default: a file in DIR)',
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='list the trials that would run, and exit'
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='write the report of the existing trials, and exit',
    )
    add_cfg_options(parser, 'cell_search.max_madds=2e8')
    return parser.parse_args()


def main() -> int:
    """Search as the command line says."""
    args = parse_args()
    optuna = import_extra('optuna', 'the search of cells needs Optuna', 'cells')
    from mmbmtas.cells.report import write_report
    from mmbmtas.cells.search import (
        CellSearch,
        Resources,
        check_resources,
        describe,
        read_search_config,
    )
    from mmbmtas.cells.settings import CellSearchSettings

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cfg = read_search_config(args.config, args.cfg_options)
    usual = CellSearchSettings.from_config(cfg).trials
    trials = usual if args.trials is None else args.trials
    check_resources(args.jobs, args.rerank, trials)
    print(*describe(cfg, trials), sep='\n', flush=True)
    if args.dry_run:
        return 0
    resources = Resources(args.jobs, shlex.split(args.launch), args.gpus, args.storage)
    work = CellSearch(cfg, args.out, trials, args.seed, resources, TOOLS)
    search = work.open() if args.report_only else work.prepare()
    if not args.report_only:
        work.run(search)
    full = work.full_results(search) if args.report_only else work.rerank(search, args.rerank)
    command = typed([word for word in sys.argv[1:] if word != '--report-only'])
    records = search.desk.records(args.seed)
    write_report(args.out, command, records, work.full_scores(search, full))
    print(f'Wrote {args.out / "report.md"} and report.html')
    failed = [str(record.trial) for record in records if record.status == 'failed']
    if failed:
        print(f'Failed trials: {", ".join(failed)}; trials.jsonl has their errors')
    return 0


if __name__ == '__main__':
    run_resumable(main, 'search_cell')
