"""Write NYUD_MT, the multi-task data set, from NYUD-v2's official file.

The official files are nyu_depth_v2_labeled.mat and splits.mat; classMapping40.mat has the 40
classes. Needs h5py: pip install 'mmbmtas[hdf5]'. After an interruption, the same command continues.

Example:
    python tools/dataset_converters/nyudv2.py nyu_depth_v2_labeled.mat splits.mat -o data/NYUD_MT
"""

import argparse
from pathlib import Path

from mmbmtas.conversion import convert_nyudv2
from mmbmtas.errors import MissingFileError
from mmbmtas.launch.interruption import run_resumable

MAPPING = 'classMapping40.mat'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Write images, depth, 40 classes, objects' boundaries and surface normals of "
        'NYUD-v2 in the layout of NYUD_MT.'
    )
    parser.add_argument('file', metavar='FILE', help='nyu_depth_v2_labeled.mat')
    parser.add_argument('splits', metavar='SPLITS', help='splits.mat')
    parser.add_argument(
        '--classes',
        default='40',
        metavar='40|MAPPING',
        help=f'file with the classes of Gupta and others (CVPR 2013) in its variable mapClass; 40, '
        f'the default, is {MAPPING} beside FILE',
    )
    parser.add_argument(
        '-o',
        '--out',
        default='data/NYUD_MT',
        metavar='FOLDER',
        help='where to write, %(default)s by default',
    )
    parser.add_argument('--jobs', type=int, default=1, help='processes, %(default)s by default')
    return parser.parse_args()


def mapping_file(classes: str, file: str) -> Path:
    """Find the file of the classes.

    Raises:
        MissingFileError: There is none.
    """
    beside = Path(file).with_name(MAPPING)
    path = beside if classes == '40' else Path(classes)
    if not path.is_file():
        raise MissingFileError(
            f'{path} is missing: it maps the 894 classes of NYUD-v2 to 40, and is published with '
            'the code of Gupta and others, rcnn-depth, and with nyuv2-meta-data. Put it beside '
            f'{file}, or name it: --classes FOLDER/{MAPPING}'
        )
    return path


def main() -> None:
    """Convert the data set."""
    args = parse_args()
    mapping = mapping_file(args.classes, args.file)
    counts = convert_nyudv2(args.file, args.splits, mapping, args.out, args.jobs)
    print(f'{args.out}: {counts["written"]} samples written, {counts["kept"]} kept')


if __name__ == '__main__':
    run_resumable(main, 'nyudv2')
