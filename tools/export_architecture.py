"""Write the architecture.json of a checkpoint of a search or of a retrained network."""

import argparse
import json
import sys

from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint file (.pth)')
    parser.add_argument(
        '-o', '--out', type=file_place, help='file to write; by default standard output'
    )
    return parser.parse_args()


def main() -> None:
    """Export as the command line says."""
    args = parse_args()
    architecture = architecture_of_checkpoint(args.checkpoint)
    if args.out is None:
        print(json.dumps(architecture.to_dict(), indent=2))
    else:
        architecture.save(args.out)
        print(f'{args.out}: {architecture.describe()}', file=sys.stderr)


if __name__ == '__main__':
    with one_line_errors():
        main()
