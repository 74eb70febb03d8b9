"""Unpack your own PASCAL_MT.tgz or NYUD_MT.tgz, check it, and write a cache for training.

Labels are decoded only once, so training reads them several times faster; samples stay
bit-identical. After an interruption, the same command continues. Example:

    python tools/dataset_converters/prepare_dataset.py ~/PASCAL_MT.tgz data --jobs 4

makes data/PASCAL_MT and data/PASCAL_MT.cache, which the datasets use automatically.
"""

import argparse
import signal
import sys

from mmbmtas.datasets.cache import default_cache
from mmbmtas.datasets.finding import find_dataset_class
from mmbmtas.datasets.preparing import Prepared, prepare_dataset
from mmbmtas.datasets.unpacking import DEFAULT_LIMIT, GIB
from mmbmtas.launch.described import describe_dataset
from mmbmtas.launch.errors import one_line_errors


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Unpack a dataset, check every file, and write a cache that training reads '
        'several times faster than the files.'
    )
    parser.add_argument(
        'source',
        metavar='ARCHIVE_OR_ROOT',
        help='PASCAL_MT.tgz, NYUD_MT.tgz, such a folder, or a config (.py) with a training set',
    )
    parser.add_argument('out', metavar='OUT', help='folder to unpack to and write the cache to')
    parser.add_argument('--jobs', type=int, default=1, help='processes, %(default)s by default')
    parser.add_argument(
        '--max-gib',
        type=float,
        default=DEFAULT_LIMIT / GIB,
        metavar='N',
        help='refuse archives that unpack to more than this, %(default)g by default',
    )
    parser.add_argument(
        '--allow-missing-labels',
        action='store_true',
        help='write the cache even if images lack labels of some tasks',
    )
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


def show(prepared: Prepared) -> None:
    """Tell what was made and how to use it."""
    print(prepared.report.summary())
    print(f'report: {prepared.report_file}')
    if prepared.counts is None:
        print('no cache was written: fix the problems in the report, then run this command again')
        return
    counts = ', '.join(f'{number} {what}' for what, number in prepared.counts.items())
    print(f'cache: {prepared.cache} (samples: {counts})')
    if prepared.cache.absolute() == default_cache(prepared.root).absolute():
        print(f"datasets with data_root='{prepared.root}' use it automatically")
    else:
        print(f"to use it, set cache='{prepared.cache}' in the datasets of {prepared.root}")


def main() -> None:
    """Prepare the dataset; exit status 1 if it has problems."""
    args = parse_args()
    # A polite kill ends the run as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    limit = int(args.max_gib * GIB)
    try:
        described = describe_dataset(args.source, args.dataset)
        options = {**described.options, **({'tasks': args.tasks} if args.tasks else {})}
        allow = options.pop('allow_missing_labels', False) or args.allow_missing_labels
        kind = find_dataset_class(described.dataset_type) if described.dataset_type else None
        prepared = prepare_dataset(described.root, args.out, args.jobs, limit, allow, kind, options)
    except KeyboardInterrupt:
        print('\ninterrupted: the same command continues from here', file=sys.stderr)
        raise SystemExit(130) from None
    show(prepared)
    raise SystemExit(130 if prepared.report.interrupted else int(prepared.counts is None))


if __name__ == '__main__':
    with one_line_errors():
        main()
