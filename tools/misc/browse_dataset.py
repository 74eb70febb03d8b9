"""Draw samples of a config's dataset as contact sheets of all tasks, as the model receives them."""

import argparse
from pathlib import Path

import matplotlib
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.overrides import add_cfg_options
from mmbmtas.registry import DATASETS, SCOPE
from mmbmtas.visualization import MultiTaskVisualizer, sample_image, sheet_name


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--output-dir', help='write the sheets into this folder as PNG files')
    parser.add_argument('--not-show', action='store_true', help='open no windows')
    parser.add_argument(
        '--show-interval', type=float, default=2, help='seconds for which a window is shown'
    )
    parser.add_argument('--phase', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--number', type=int, help='number of samples to draw; default all')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.output_dir is None and (args.not_show or matplotlib.get_backend().lower() == 'agg'):
        parser.error('without a screen, or with --not-show, it needs --output-dir')
    return args


def main() -> None:
    """Draw the samples that the command line asks for."""
    args = parse_args()
    cfg = launch.read_config(args.config, args.cfg_options)
    init_default_scope(SCOPE)
    dataset = DATASETS.build(cfg[f'{args.phase}_dataloader'].dataset)
    visualizer = MultiTaskVisualizer(name='browse_dataset')
    visualizer.dataset_meta = dataset.metainfo
    number = len(dataset) if args.number is None else min(args.number, len(dataset))
    for index in range(number):
        item = dataset[index]
        sample = item['data_samples']
        name = sheet_name(sample, f'{args.phase}_{index:05d}')
        visualizer.add_datasample(
            name,
            sample_image(item['inputs'], sample),
            sample,
            show=not args.not_show,
            wait_time=args.show_interval,
            out_file=str(Path(args.output_dir, f'{name}.png')) if args.output_dir else None,
        )
    if args.output_dir:
        print(f'{number} sheets written to {args.output_dir}')


if __name__ == '__main__':
    with one_line_errors():
        main()
