"""Write small domains of images from installed packages, in the Visual Decathlon's layout.

Nothing is downloaded: digits are scikit-learn's, faces and textures scikit-image's, glyphs are
drawn with matplotlib's fonts, solids by the renderer of synthetic scenes. Example:

    python tools/dataset_converters/pocket_domains.py data/pocket
"""

import argparse
import signal
import sys

from mmbmtas.errors import UserError
from mmbmtas.pocket import DOMAINS, write_pocket_domains


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write small domains of images that installed packages hold, for multi-domain '
        'training: annotations/ and data/ as the Visual Decathlon has them.',
        epilog='The same command writes the same files, byte by byte.',
    )
    parser.add_argument('out_dir', metavar='OUT_DIR', help='folder to create')
    parser.add_argument(
        '--domains',
        nargs='+',
        default=[*DOMAINS],
        metavar='NAME',
        help=f'which of {", ".join(DOMAINS)}; default all',
    )
    parser.add_argument(
        '--size',
        type=int,
        default=32,
        metavar='PIXELS',
        help='height and width of the images, %(default)s by default',
    )
    parser.add_argument(
        '--seed', type=int, default=0, metavar='S', help='0 or more, %(default)s by default'
    )
    return parser.parse_args()


def main() -> None:
    """Write the domains; exit status 2 and one line where the request cannot be met."""
    args = parse_args()
    # A polite kill cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        counts = write_pocket_domains(args.out_dir, args.domains, args.size, args.seed)
    except (UserError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print('\ninterrupted: nothing was written', file=sys.stderr)
        sys.exit(130)
    for domain, splits in counts.items():
        print(f'{domain}: ' + ', '.join(f'{count} {split}' for split, count in splits.items()))


if __name__ == '__main__':
    main()
