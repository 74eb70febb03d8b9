"""Score a checkpoint, or an exported network, on a config's test set, and draw its predictions."""

import argparse

from mmengine.dist import is_main_process

from mmbmtas import deploy, launch
from mmbmtas.engine.failures import worker_death_explained
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='MMBMTAS_TRACEBACK=1 shows where an error came from.'
    )
    launch.add_common_arguments(parser)
    parser.add_argument(
        'checkpoint', help='checkpoint file, or an ONNX file written by tools/export_onnx.py'
    )
    parser.add_argument(
        '--out',
        type=file_place,
        metavar='FILE.json',
        help='write the metrics here, as one flat JSON object',
    )
    parser.add_argument('--show', action='store_true', help='show predictions on the screen')
    parser.add_argument('--show-dir', help='write pictures of predictions into this folder')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds for which --show shows a picture'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='average the predictions over the augmentations of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Test as the command line says."""
    args = parse_args()
    cfg = launch.load_config(args)
    cfg.resume = False
    if deploy.is_exported(args.checkpoint):
        if args.tta:
            raise InputError('--tta needs the network itself: name its checkpoint')
        deploy.use_exported(cfg, args.checkpoint)
    else:
        cfg.load_from = launch.require_checkpoint(args.checkpoint)
        launch.use_architecture_of_checkpoint(cfg, args.checkpoint, args.cfg_options)
    if args.show or args.show_dir:
        launch.use_drawing(cfg, args.show, args.show_dir, args.wait_time)
    launch.prepare_config(cfg, training=False)
    launch.require_data(cfg, 'test_dataloader')
    if args.tta:
        launch.use_tta(cfg)
    runner = launch.runner_of(cfg, strict=True)
    with worker_death_explained('test_dataloader'):
        metrics = runner.test()
    if args.out and is_main_process():
        launch.write_metrics(metrics, args.out)


if __name__ == '__main__':
    with one_line_errors():
        main()
