"""Predict all tasks on your own images, and write contact sheets and raw maps.

OUT/sheets/NAME.png shows image and tasks side by side. OUT/TASK/NAME.png holds classes (palette) or
probabilities times 255, OUT/TASK/NAME.npy normals or depth in metres.

For a network of several domains, --domain NAME says which domain the images belong to.
An exported network replaces config and checkpoint: infer.py NETWORK.onnx IMAGE ... -o OUT
"""

import argparse
import sys

from mmbmtas.apis import MultiTaskInferencer, OnnxInferencer, list_photos
from mmbmtas.deploy import is_exported
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.overrides import add_cfg_options
from mmbmtas.progress import Progress


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'images', nargs='*', metavar='IMAGE', help='image files, or folders of them'
    )
    parser.add_argument(
        '-o', '--out-dir', required=True, metavar='OUT', help='folder to write into'
    )
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument(
        '--fuse-conv-bn',
        action='store_true',
        help='fold batch normalisations into the convolutions before them (faster)',
    )
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='use the channels-last memory format (faster on some devices)',
    )
    parser.add_argument(
        '--domain',
        metavar='NAME',
        help='domain of the images, for a network of several domains: only the path of this domain '
        'runs',
    )
    add_cfg_options(parser, 'architecture=a.json')
    args = parser.parse_args()
    if is_exported(args.config):
        args.images.insert(0, args.checkpoint)
    elif not args.images:
        parser.error('the following arguments are required: IMAGE')
    return args


def build_inferencer(args: argparse.Namespace) -> MultiTaskInferencer | OnnxInferencer:
    """Build what the command line names: an exported network, or config and checkpoint."""
    if not is_exported(args.config):
        return MultiTaskInferencer(
            args.config,
            args.checkpoint,
            args.device,
            args.cfg_options,
            args.fuse_conv_bn,
            args.channels_last,
            args.domain,
        )
    for name in ('cfg_options', 'fuse_conv_bn', 'channels_last', 'domain'):
        if getattr(args, name):
            raise InputError(
                f'--{name.replace("_", "-")} has no effect on {args.config}, an exported network: '
                'leave it out'
            )
    return OnnxInferencer(args.config, args.device)


def main() -> int:
    """Predict as the command line says; tell how many images could not be read."""
    args = parse_args()
    photos = list_photos(args.images)
    inferencer = build_inferencer(args)
    errors = []
    outcomes = inferencer.run(photos, args.out_dir)  # refuses what cannot be predicted
    with Progress(len(photos), 'predicting images') as progress:
        for outcome in outcomes:
            if outcome.error:
                errors.append(outcome.error)
            progress.advance()
    for message in errors:
        print(f'error: {message}', file=sys.stderr)
    print(f'{len(photos) - len(errors)} of {len(photos)} images predicted in {args.out_dir}')
    return len(errors)


if __name__ == '__main__':
    with one_line_errors():
        sys.exit(1 if main() else 0)
