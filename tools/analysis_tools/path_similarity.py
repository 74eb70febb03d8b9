"""Show how alike the paths of the domains in an architecture file are, as a table and a picture.

The similarity of two paths is their Jaccard index: nodes that both use, divided by nodes that at
least one uses. A layer that is left out counts as a node, unless --without-zero is given.

Example:
    python tools/analysis_tools/path_similarity.py work_dirs/search_pocket/architecture.json
"""

import argparse
import csv
from pathlib import Path

from mmbmtas.launch.errors import one_line_errors
from mmbmtas.structures import PathArchitecture
from mmbmtas.visualization.paths import similarity_figure
from mmbmtas.visualization.saving import picture_place, save_figure
from mmbmtas.writing import file_place, written_beside


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('architecture', type=Path, help='architecture.json of a search of paths')
    parser.add_argument(
        '--csv', type=file_place, help='table to write (default: similarity.csv beside the file)'
    )
    parser.add_argument(
        '--png',
        type=file_place,
        help='picture to write, .png, .svg or .pdf (default: similarity.png beside the file)',
    )
    parser.add_argument(
        '--without-zero',
        action='store_true',
        help='do not count layers that are left out as nodes',
    )
    return parser.parse_args()


def main() -> None:
    """Compare the paths, print the table and write both files."""
    args = parse_args()
    paths = PathArchitecture.load(args.architecture)
    values = paths.jaccard(zero_is_node=not args.without_zero)
    picture = picture_place(args.png or args.architecture.with_name('similarity.png'))
    rows = [['domain', *paths.domains]]
    rows += [
        [domain, *(f'{value:.4f}' for value in row)]
        for domain, row in zip(paths.domains, values, strict=True)
    ]
    table = Path(args.csv or args.architecture.with_name('similarity.csv'))
    with written_beside(table) as beside, beside.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(rows)
    save_figure(similarity_figure(paths, values), picture, dpi=200)
    width = max(map(len, [*paths.domains, 'domain']))
    for row in rows:
        print('  '.join(f'{cell:>{width}}' for cell in row))
    print(f'Wrote {table} and {picture}')


if __name__ == '__main__':
    with one_line_errors():
        main()
