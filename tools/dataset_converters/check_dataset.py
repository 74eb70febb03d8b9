"""Check a PASCAL_MT or NYUD_MT folder: its packaging, its splits, and every file they list.

Exits with status 0 if no problem is found, and with 1 otherwise. Example:

    python tools/dataset_converters/check_dataset.py data/PASCAL_MT --jobs 4

A config, such as my_project/branched.py, can replace the folder: its training set is checked.
"""

import argparse
import signal
from pathlib import Path

from mmbmtas.datasets.checking import check_dataset, report_places, write_report
from mmbmtas.datasets.finding import find_dataset_class
from mmbmtas.launch.described import describe_dataset
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Open every file that the splits of a dataset list, and report those that are '
        'missing, damaged, of another size than their image, or hold values out of range.'
    )
    parser.add_argument(
        'root',
        metavar='ROOT',
        help='folder PASCAL_MT or NYUD_MT, or a config (.py) whose training set is checked',
    )
    parser.add_argument(
        '--report',
        type=file_place,
        metavar='FILE',
        help='write the report here as .json and .txt; default <name of ROOT>.check.json',
    )
    parser.add_argument('--jobs', type=int, default=1, help='processes, %(default)s by default')
    parser.add_argument(
        '--dataset',
        metavar='CLASS',
        help='class that reads a data set of your own, as package.module.Class; by default the '
        'folders tell which data set it is',
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        metavar='TASK',
        help='only the labels of these tasks; by default of all that the data set has',
    )
    return parser.parse_args()


def main() -> None:
    """Check the folder, write and show the report."""
    args = parse_args()
    # A polite kill keeps what was found, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    described = describe_dataset(args.root, args.dataset)
    name = args.report or f'{Path(described.root).resolve().name}.check.json'
    report_places(name)
    dataset_type = find_dataset_class(described.dataset_type) if described.dataset_type else None
    options = {**described.options, **({'tasks': args.tasks} if args.tasks else {})}
    report = check_dataset(described.root, args.jobs, dataset_type, options)
    _, text_file = write_report(report, name)
    print(report.summary())
    for problem in report.problems[:10]:
        print(f'  {problem.path}: {problem.message}')
    for note in report.notes:
        print(f'  note: {note}')
    print(f'report: {text_file} and .json')
    raise SystemExit(130 if report.interrupted else int(not report.passed))


if __name__ == '__main__':
    with one_line_errors():
        main()
