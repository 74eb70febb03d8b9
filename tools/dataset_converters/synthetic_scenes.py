"""Write a data set of synthetic rooms in the layout of PASCAL_MT or NYUD_MT.

One core makes 38 to 42 images of 128 x 160 per second of processor time for PASCAL_MT, and 48 to 56
for NYUD_MT: means of 60 images on two virtual Xeon cores that other processes also used. Example:

    python tools/dataset_converters/synthetic_scenes.py data/SCENES_PASCAL --layout pascal \
        --train 2000 --val 200 --size 128 160 --jobs 4
"""

import argparse
import signal
import sys

from mmbmtas.errors import UserError
from mmbmtas.scenes import write_scenes
from mmbmtas.scenes.styles import STYLES


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write a data set of synthetic rooms with exact labels of semantic classes, '
        'human parts, saliency, normals, edges and depth, in the layout of a real release.',
        epilog='Image i of a split depends only on the seed, the split, i and the size, not on '
        '--train, --val and --jobs. Running the same command again writes nothing.',
    )
    parser.add_argument('out_dir', metavar='OUT_DIR', help='folder to create')
    parser.add_argument(
        '--layout',
        choices=('pascal', 'nyud'),
        required=True,
        help='pascal: PASCAL_MT (no depth); nyud: NYUD_MT, packaging B (no human parts, saliency)',
    )
    parser.add_argument(
        '--train',
        type=int,
        default=800,
        metavar='N',
        help='training images, %(default)s by default',
    )
    parser.add_argument(
        '--val',
        type=int,
        default=200,
        metavar='N',
        help='validation images, %(default)s by default',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 160),
        metavar=('H', 'W'),
        help='pixels, 128 160 by default',
    )
    parser.add_argument(
        '--seed', type=int, default=0, metavar='S', help='0 or more, %(default)s by default'
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=1,
        metavar='J',
        help='processes, %(default)s by default; they do not change the files',
    )
    parser.add_argument(
        '--style',
        choices=STYLES,
        default='day',
        help='how the rooms are shown, %(default)s by default; the labels are the same',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the synthetic data set in OUT_DIR; other files there are never replaced',
    )
    return parser.parse_args()


def main() -> None:
    """Write the data set; exit status 2 and one line where the request cannot be met."""
    args = parse_args()
    # A polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        written = write_scenes(
            args.out_dir,
            args.layout,
            args.train,
            args.val,
            tuple(args.size),
            args.seed,
            args.jobs,
            args.overwrite,
            args.style,
        )
    except (UserError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('\ninterrupted: nothing was written', file=sys.stderr)
        sys.exit(130)
    done = 'Wrote' if written else 'Nothing to do: already there are'
    print(f'{done} {args.train} training and {args.val} validation images in {args.out_dir}')


if __name__ == '__main__':
    main()
