"""Run the training or the search that a config describes."""

import argparse

from mmbmtas import launch
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.work_dir import sole_training


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='MMBMTAS_TRACEBACK=1 shows where an error came from.'
    )
    launch.add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint; without a name, from the last one in the work '
        'directory',
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    return parser.parse_args()


def main() -> None:
    """Train as the command line says."""
    args = parse_args()
    cfg = launch.load_config(args)
    if args.amp:
        launch.use_amp(cfg)
    if args.resume is not None:
        launch.use_resume(cfg, args.resume)
    launch.prepare_config(cfg)
    launch.require_data(cfg, *launch.TRAINING_DATA)
    with sole_training(cfg.work_dir):
        launch.runner_of(cfg, strict=cfg.get('resume', False)).train()


if __name__ == '__main__':
    with one_line_errors():
        main()
