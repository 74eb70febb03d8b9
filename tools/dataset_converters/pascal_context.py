"""Write PASCAL_MT, the multi-task data set, from the public archives of PASCAL VOC 2010.

Human parts come from PASCAL-Part; classes of all images and boundaries from PASCAL-Context. Unpack
the archives first. After an interruption, the same command continues.

Example:
    python tools/dataset_converters/pascal_context.py VOCdevkit/VOC2010 Annotations_Part \
        --context trainval -o data/PASCAL_MT
"""

import argparse

from mmbmtas.conversion import convert_pascal_context
from mmbmtas.launch.interruption import run_resumable


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write images, human parts, classes and label maps of PASCAL-Context in the '
        'layout of PASCAL_MT. Normals and saliency are not in the public archives.'
    )
    parser.add_argument('voc', metavar='VOC', help='folder VOCdevkit/VOC2010')
    parser.add_argument('parts', metavar='PARTS', help='folder Annotations_Part of PASCAL-Part')
    parser.add_argument(
        '--context',
        metavar='FOLDER',
        help="folder trainval of PASCAL-Context's 459 classes; without it there are no edges, and "
        'classes only where VOC has masks',
    )
    parser.add_argument(
        '--masks',
        metavar='FOLDER',
        help='folder SegmentationClass of another year of VOC; that of VOC by default',
    )
    parser.add_argument(
        '-o',
        '--out',
        default='data/PASCAL_MT',
        metavar='FOLDER',
        help='where to write, %(default)s by default',
    )
    parser.add_argument('--jobs', type=int, default=1, help='processes, %(default)s by default')
    return parser.parse_args()


def main() -> None:
    """Convert the data set."""
    args = parse_args()
    counts = convert_pascal_context(
        args.voc, args.parts, args.out, args.context, args.masks, args.jobs
    )
    print(f'{args.out}: {counts["written"]} samples written, {counts["kept"]} kept')
    if args.context:
        print('train on it with --cfg-options tasks=[semseg,human_parts,edge]')
    else:
        print('train on it with --cfg-options tasks=[human_parts]')


if __name__ == '__main__':
    run_resumable(main, 'pascal_context')
