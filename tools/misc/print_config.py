"""Print a config as train.py would use it, including inherited entries and the given overrides."""

import argparse

from mmbmtas import launch
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import file_place, written_beside


def main() -> None:
    """Print the config that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    parser.add_argument(
        '--save-path', type=file_place, help='also write it to this file (.py, .json or .yml)'
    )
    args = parser.parse_args()
    cfg = launch.prepare_config(launch.load_config(args))
    print(cfg.pretty_text)
    if args.save_path:
        with written_beside(args.save_path) as beside:
            cfg.dump(str(beside))


if __name__ == '__main__':
    with one_line_errors():
        main()
