"""Inspect a folder of images and labels, and write the configs of a project.

The tool reports what it found and what it guessed. It writes project.py, search.py, branched.py, a
README with the commands, and samples.png with some images and their labels.
"""

import argparse
from pathlib import Path

from mmbmtas.grouping.least_cost import MAX_TASKS
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.projects import draw_samples, inspect_folder, make_plan, report, write_project
from mmbmtas.projects.plan import CPU, GPU
from mmbmtas.projects.text import project_texts


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', metavar='PHOTOS', help='folder of images and labels')
    parser.add_argument(
        '-o', '--out', metavar='PROJECT', default='my_project', help='folder to write (%(default)s)'
    )
    parser.add_argument(
        '--search',
        choices=('similarity', 'gradient'),
        help='how to search: by the similarity of features (default for up to 8 tasks), or by the '
        "paper's gradient",
    )
    parser.add_argument(
        '--device',
        choices=('cpu', 'gpu'),
        help='device for which lengths and sizes are chosen; default: the device of this machine',
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print what would be written, and write nothing'
    )
    return parser.parse_args()


def main() -> None:
    """Write the project that the command line asks for."""
    args = parse_args()
    device = {'cpu': CPU, 'gpu': GPU, None: None}[args.device]
    plan = make_plan(inspect_folder(args.folder), device)
    search = args.search or ('similarity' if len(plan.tasks) <= MAX_TASKS else 'gradient')
    print(report(plan))
    if args.dry_run:
        for name, text in project_texts(plan, args.out, search).items():
            print(f'\n===== {Path(args.out, name)}\n{text}', end='')
        return
    paths = write_project(plan, args.out, search)
    paths.append(draw_samples(plan, args.out))
    print('\nwrote ' + ', '.join(map(str, paths)))
    print(f'next: look at {paths[-1]}, then follow {Path(args.out, "README.md")}')


if __name__ == '__main__':
    with one_line_errors():
        main()
