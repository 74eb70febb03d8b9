"""Export a trained network as a file that runs without this package: ONNX, or a format of torch.

The extension of the file's name says the format: .onnx also runs without torch, .pt2 is a program
of torch.export, .ts is TorchScript. The file takes raw images (RGB uint8, N x 3 x H x W). It has
one output for each task, with its name and at the images' size. The metadata of the file, and
the JSON file next to it, say what the outputs mean.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from mmbmtas import deploy
from mmbmtas.apis import MultiTaskInferencer
from mmbmtas.apis.calibration import list_calibration, read_calibration
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.overrides import add_cfg_options
from mmbmtas.structures.values import require_shape
from mmbmtas.writing import file_place


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '-o',
        '--out',
        type=file_place,
        required=True,
        metavar='FILE',
        help='file to write, named .onnx, .pt2 or .ts',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="height and width of the images in pixels; by default the config's cost_shape, before "
        'the scaling of its test pipeline',
    )
    parser.add_argument(
        '--dynamic',
        action='store_true',
        help='take images of any size, and several of one size at a time; costs are stated, and '
        'verification begins, at --shape',
    )
    parser.add_argument(
        '--tasks', nargs='+', metavar='TASK', help='export these tasks only, in this order'
    )
    parser.add_argument(
        '--domain',
        metavar='NAME',
        help='in a network of several domains, export only the path and the tasks of this domain; '
        'by default all paths, on the same images',
    )
    parser.add_argument(
        '--postprocess',
        choices=['none', 'decision'],
        default='none',
        help='what outputs are: maps such as logits (none), or class ids, probabilities, unit '
        'normals and values (decision)',
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        '--fp16',
        action='store_true',
        help='store weights and features in half precision; input and outputs keep their types',
    )
    precision.add_argument(
        '--int8',
        metavar='CALIBRATION',
        help='compute with 8 bits, calibrated on a folder of images, or on the training split of '
        'the config (train); prints the metrics on its test set beside those of float32',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='run the file, and write it only if no output differs by more than '
        f'{deploy.TOLERANCES["float32"]:.0e} of its range ({deploy.TOLERANCES["float16"]:.0e} '
        'with --fp16) from what the network itself gives; with --int8, that in float32 is compared',
    )
    add_cfg_options(parser, 'architecture=a.json')
    return parser.parse_args(arguments)


def format_differences(differences: Mapping[tuple[int, int], Mapping[str, float]]) -> str:
    """Lay the differences out, a task a line, the greatest one last."""
    heads = [f'{height}x{width}' for height, width in differences]
    found = [*differences.values()]
    lines = [f'{"difference":16}' + ''.join(f'{head:>11}' for head in [*heads, 'greatest'])]
    for task in found[0]:
        shares = [shares[task] for shares in found]
        lines.append(f'{task:16}' + ''.join(f'{share:11.1e}' for share in [*shares, max(shares)]))
    return '\n'.join(lines)


def format_metrics(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Lay the metrics of two networks out, a metric a line, with the difference."""
    plain, other = metrics.values()
    lines = [f'{"metric":32}' + ''.join(f'{name:>12}' for name in [*metrics, 'difference'])]
    for name, value in plain.items():
        found = other[name]
        lines.append(f'{name:32}{value:12.4f}{found:12.4f}{found - value:+12.4f}')
    return '\n'.join(lines)


def require_packages(args: argparse.Namespace) -> None:
    """Refuse what the format lacks, and packages that are missing, before anything is read.

    Raises:
        InputError: There is either.
    """
    if args.out.suffix == '.onnx':
        deploy.require('onnx')
        if args.dynamic or args.fp16 or args.int8 or args.verify:
            deploy.require('onnxruntime')
        return
    for name in ('fp16', 'int8'):
        if getattr(args, name):
            raise InputError(f'--{name} is for ONNX files: expected -o FILE.onnx, not {args.out}')


def verify(
    exported: deploy.ExportedNetwork,
    trained: MultiTaskInferencer,
    shape: tuple[int, int],
    padding: deploy.Padding | None,
) -> None:
    """Compare what was exported with the network itself, and print the differences."""
    reference = trained.predict_maps
    if padding is not None and padding.scale != 1:
        print('The file scales images without rounding, and is compared on images scaled so.')
        reference = partial(trained.predict_maps, padding=padding)
    differences = deploy.verify(deploy.load_exported(exported), reference, shape)
    print(format_differences(differences))
    tolerance = deploy.TOLERANCES[exported.description['precision']]
    deploy.require_close(differences, tolerance)
    print(f'All are at most {tolerance:.0e} of the range of the output.')


def quantise(
    exported: deploy.ExportedNetwork,
    files: Sequence[Path],
    args: argparse.Namespace,
    shape: tuple[int, int],
) -> deploy.ExportedNetwork:
    """Quantise a network on images, and print its metrics beside those that it had."""
    quantised = deploy.to_int8(exported, read_calibration(files, shape))
    networks = {'float32': exported, 'int8': quantised}
    metrics = deploy.score(args.config, args.cfg_options, networks)
    print(f'Calibrated on {len(files)} images ({args.int8}); metrics on the test set:')
    print(format_metrics(metrics))
    calibration = {'images': Path(args.int8).name, 'number': len(files), 'metrics': metrics}
    source = {**quantised.description['source'], 'calibration': calibration}
    return quantised.with_model(
        deploy.require('onnx').load_from_string(quantised.content), source=source
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Export as the command line says."""
    args = parse_args(arguments)
    deploy.export_places(args.out)
    require_packages(args)
    shape = args.shape and require_shape('--shape', args.shape)
    trained = MultiTaskInferencer(
        args.config, args.checkpoint, 'cpu', args.cfg_options, domain=args.domain
    )
    padding = deploy.padding_of(trained.pipeline.transforms, trained.network_input)
    if shape is None:
        shape = trained.model.cost_shape
        shape = shape if padding is None else padding.image_shape(shape)
    files = list_calibration(args.int8, trained.cfg, args.domain) if args.int8 else []
    exported = deploy.export_network(
        trained.model,
        trained.dataset_meta,
        args.tasks,
        shape,
        args.dynamic,
        padding,
        args.postprocess == 'decision',
        {'config': Path(args.config).name, 'checkpoint': Path(args.checkpoint).name},
        args.out.suffix,
    )
    if args.fp16:
        exported = deploy.to_half(exported)
    if args.verify:
        verify(exported, trained, shape, padding)
    if args.int8:
        exported = quantise(exported, files, args, shape)
    written = exported.write(args.out)
    size = len(exported.content) / 1e6
    print(f'Wrote {written[0]} ({size:.1f} MB) and {written[1]}')


if __name__ == '__main__':
    with one_line_errors():
        main()
