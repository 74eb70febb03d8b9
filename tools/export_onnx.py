"""Export a trained network as an ONNX file, which runs without this package and without torch.

The file takes raw images (RGB uint8, N x 3 x H x W). It has one output for each task, with the
task's name and at the images' size. The metadata of the file, and the JSON file next to it, say
what the outputs mean.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbmtas import deploy
from mmbmtas.apis import MultiTaskInferencer
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
        '-o', '--out', type=file_place, required=True, metavar='FILE.onnx', help='file to write'
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="height and width of the images in pixels; by default the config's cost_shape",
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
    parser.add_argument(
        '--fp16',
        action='store_true',
        help='store weights and features in half precision; input and outputs keep their types',
    )
    parser.add_argument(
        '--verify',
        action='store_true',
        help='run the file in ONNX Runtime, and write it only if no output differs by more than '
        f'{deploy.TOLERANCES["float32"]:.0e} of its range ({deploy.TOLERANCES["float16"]:.0e} '
        'with --fp16) from what the network itself gives',
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Export as the command line says."""
    args = parse_args(arguments)
    deploy.export_places(args.out)
    deploy.require('onnx')
    if args.verify or args.fp16:
        deploy.require('onnxruntime')
    shape = args.shape and require_shape('--shape', args.shape)
    trained = MultiTaskInferencer(
        args.config, args.checkpoint, 'cpu', args.cfg_options, domain=args.domain
    )
    shape = shape or trained.model.cost_shape
    exported = deploy.export_onnx(
        trained.model,
        trained.dataset_meta,
        args.tasks,
        shape,
        args.dynamic,
        deploy.padding_of(trained.pipeline.transforms, trained.network_input),
        args.postprocess == 'decision',
        {'config': Path(args.config).name, 'checkpoint': Path(args.checkpoint).name},
    )
    if args.fp16:
        exported = deploy.to_half(exported)
    if args.verify:
        network = deploy.OnnxNetwork(exported.content, 'cpu')
        differences = deploy.verify(network, trained.predict_maps, shape)
        print(format_differences(differences))
        tolerance = deploy.TOLERANCES[exported.description['precision']]
        deploy.require_close(differences, tolerance)
        print(f'All are at most {tolerance:.0e} of the range of the output.')
    written = exported.write(args.out)
    size = len(exported.content) / 1e6
    print(f'Wrote {written[0]} ({size:.1f} MB) and {written[1]}')


if __name__ == '__main__':
    with one_line_errors():
        main()
