"""Measure time and memory of a config's parts on this machine, beside a plain implementation.

    python benchmarks/benchmark.py search CONFIG     iterations of a search's phases
    python benchmarks/benchmark.py memory CONFIG     what they hold at most
    python benchmarks/benchmark.py profile CONFIG    the operators that they spend it on
    python benchmarks/benchmark.py layers CONFIG     single layers of the supernet
    python benchmarks/benchmark.py train CONFIG      iterations of a tree's training
    python benchmarks/benchmark.py infer CONFIG      inference for all tasks
    python benchmarks/benchmark.py data CONFIG       loading of samples
    python benchmarks/benchmark.py resource CONFIG   the search's resource loss

Sides run in turn in one process; ratios say how many times the plain one takes ours. With
--json standard output is one JSON object.
"""

import argparse
import contextlib
import json
import sys

from benchmarking import data, infer, layers, memory, operators, resource, search, train

from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import file_place, written_beside

PARTS = {
    'search': search,
    'memory': memory,
    'profile': operators,
    'layers': layers,
    'train': train,
    'infer': infer,
    'data': data,
    'resource': resource,
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest='part', required=True, metavar='PART')
    for name, part in PARTS.items():
        about = part.__doc__ or ''
        command = commands.add_parser(
            name, help=about.splitlines()[0], description=about, formatter_class=formatter
        )
        part.add_arguments(command)
        command.add_argument(
            '--json', action='store_true', help='print one JSON object, nothing else'
        )
        command.add_argument(
            '--out', type=file_place, metavar='FILE.json', help='write that object here too'
        )
    return parser.parse_args()


def main() -> None:
    """Measure as the command line says."""
    args = parse_args()
    part = PARTS[args.part]
    with contextlib.redirect_stdout(sys.stderr):  # whatever building a network prints
        result = part.run(args)
    text = json.dumps(result, indent=2, allow_nan=False)
    if args.out:
        with written_beside(args.out) as beside:
            beside.write_text(text + '\n')
    print(text if args.json else part.format_table(result))


if __name__ == '__main__':
    with one_line_errors():
        main()
