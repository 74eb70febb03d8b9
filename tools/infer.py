"""Predict all tasks on images of your own; write contact sheets and raw maps.

OUT/sheets/NAME.png shows image and tasks side by side. OUT/TASK/NAME.png holds classes (palette) or
probabilities times 255, OUT/TASK/NAME.npy normals or depth in metres.
"""

import argparse
import sys

from mmbmtas.apis import MultiTaskInferencer, list_photos
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.overrides import OverrideAction
from mmbmtas.progress import Progress


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        'images', nargs='+', metavar='IMAGE', help='image files, or folders of them'
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
        help='hold features with the channels innermost (faster on some devices)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OverrideAction,
        metavar='KEY=VALUE',
        help='override entries of the config, for example architecture=a.json',
    )
    return parser.parse_args()


def main() -> int:
    """Predict as the command line says; tell how many images could not be read."""
    args = parse_args()
    photos = list_photos(args.images)
    inferencer = MultiTaskInferencer(
        args.config,
        args.checkpoint,
        args.device,
        args.cfg_options,
        args.fuse_conv_bn,
        args.channels_last,
    )
    errors = []
    with Progress(len(photos), 'predicting images') as progress:
        for outcome in inferencer.run(photos, args.out_dir):
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
