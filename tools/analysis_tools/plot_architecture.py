"""Draw the tree or the paths of an architecture file or of a checkpoint, or a cell file's cell.

Example:
    python tools/analysis_tools/plot_architecture.py work_dirs/search/architecture.json -o tree.svg
    python tools/analysis_tools/plot_architecture.py work_dirs/branched/iter_600.pth
    python tools/analysis_tools/plot_architecture.py configs/cells/dpc_cityscapes.json -o cell.svg
"""

import argparse
from pathlib import Path

from mmbmtas.checkpoints import looks_like_checkpoint
from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.structures import DenseCell, as_architecture
from mmbmtas.structures.cell_file import is_cell
from mmbmtas.structures.documents import read_document
from mmbmtas.visualization.architecture import plot_architecture
from mmbmtas.visualization.cells import draw_cell
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'architecture',
        type=Path,
        help='architecture.json or cell.json of a search, or a checkpoint (.pth)',
    )
    parser.add_argument(
        '-o',
        '--out',
        type=file_place,
        help='picture to write, .png, .svg or .pdf (default: a .png beside the file)',
    )
    return parser.parse_args()


def main() -> None:
    """Read the file and draw what it holds."""
    args = parse_args()
    out = args.out or args.architecture.with_suffix('.png')
    if looks_like_checkpoint(args.architecture):
        plot_architecture(architecture_of_checkpoint(args.architecture), out)
    elif is_cell(read_document(args.architecture)):
        draw_cell(DenseCell.load(args.architecture), out)
    else:
        plot_architecture(as_architecture(args.architecture), out)
    print(f'Wrote {out}')


if __name__ == '__main__':
    with one_line_errors():
        main()
