"""Score a folder of edge maps by odsF, OIS and AP, without MATLAB.

Predictions are 8-bit grey PNG files <id>.png of the images' original size, with 255 for certain
edges. Any software may have written them.

    python tools/analysis_tools/eval_edges.py PRED_DIR PASCAL_MT --dataset pascal
    python tools/analysis_tools/eval_edges.py PRED_DIR NYUD_MT --dataset nyud --jobs 8
    python tools/analysis_tools/eval_edges.py PRED_DIR BSDS500/data/groundTruth/test --dataset bsds
"""

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import starmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbmtas.errors import InputError
from mmbmtas.evaluation.edges import (
    MAX_DIST,
    EdgeProtocol,
    count_matches,
    edge_scores,
    protocol_of,
)
from mmbmtas.evaluation.edges.truths import list_truths, read_truths, refuse_missing
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.progress import Progress
from mmbmtas.reading import read_grey


def score_file(
    prediction_path: Path, truth_path: Path, dataset: str, protocol: EdgeProtocol
) -> NDArray[np.int64]:
    """Counts of one image, read from its files."""
    prediction, truths = read_grey(prediction_path), read_truths(truth_path, dataset)
    if prediction.shape != truths[0].shape:
        raise InputError(
            f'{prediction_path} is {prediction.shape[1]} x {prediction.shape[0]}, '
            f'{truth_path} {truths[0].shape[1]} x {truths[0].shape[0]}; '
            'predictions are scored at the original size, without padding'
        )
    return count_matches(prediction, truths, protocol)


def score_all(tasks: list[tuple], jobs: int) -> Iterator[NDArray[np.int64]]:
    """Counts of all images, as they come; in this process where one is enough."""
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        yield from starmap(score_file, tasks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            for done in as_completed([pool.submit(score_file, *task) for task in tasks]):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def score_folder(args: argparse.Namespace) -> dict[str, float]:
    """Score all images of the split."""
    truths = list_truths(args.ground_truth, args.dataset, args.split)
    predictions = {image_id: args.predictions / f'{image_id}.png' for image_id in truths}
    refuse_missing(predictions.values(), 'prediction')
    protocol = protocol_of(args.dataset, not args.no_nms, args.max_dist)
    tasks = [(predictions[i], truths[i], args.dataset, protocol) for i in truths]
    counts = []
    with Progress(len(tasks), 'scoring edges') as progress:
        for count in score_all(tasks, args.jobs):
            counts.append(count)
            progress.advance()
    return {**edge_scores(counts, protocol.thresholds, protocol.rule), 'images': len(counts)}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('predictions', type=Path, help='folder of <id>.png')
    parser.add_argument('ground_truth', type=Path, help='root of the data set, or BSDS .mat folder')
    parser.add_argument('--dataset', choices=sorted(MAX_DIST), required=True)
    parser.add_argument('--split', default='val', help='list of ids (default: val)')
    parser.add_argument(
        '--no-nms', action='store_true', help='score the maps as they are, without thinning'
    )
    parser.add_argument(
        '--max-dist', type=float, help='tolerance of the matching; default: that of the data set'
    )
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--json', action='store_true', help='print one JSON object on stdout')
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = parse_args()
    scores = score_folder(args)
    if args.json:
        print(json.dumps(scores))
        return
    for name, value in scores.items():
        print(f'{name:14}{value:.4f}' if isinstance(value, float) else f'{name:14}{value}')


if __name__ == '__main__':
    with one_line_errors():
        main()
