import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

COUNTS = [2, 3, 4, 7]


def make_samples(count):
    rng = np.random.default_rng(count)
    for index in range(count):
        edge = torch.from_numpy(rng.integers(0, 2, (1, 12, 16)))
        sample = {'img_path': f'{index}.jpg'}
        if index % 3 != 1:  # Some images lack a label.
            sample['gt_depth'] = {'data': torch.from_numpy(rng.uniform(0.1, 5, (1, 12, 16)))}
            sample['gt_normals'] = {'data': torch.from_numpy(rng.normal(size=(3, 12, 16)))}
        sample['gt_edge'] = {'data': edge}
        sample['gt_semseg'] = {'data': torch.from_numpy(rng.integers(0, 5, (1, 12, 16)))}
        sample['pred_depth'] = {'data': torch.from_numpy(rng.uniform(0.1, 5, (1, 12, 16)))}
        sample['pred_normals'] = {'data': torch.from_numpy(rng.normal(size=(3, 12, 16)))}
        sample['pred_edge'] = {'data': torch.from_numpy(rng.uniform(size=(1, 12, 16)))}
        sample['pred_semseg'] = {'data': torch.from_numpy(rng.integers(0, 5, (1, 12, 16)))}
        yield sample


def score(count, rank=0, ranks=1, collect_dir=None):
    from mmbmtas.evaluation import (
        DepthMetric,
        EdgePixelMetric,
        MultiTaskEvaluator,
        NormalsMetric,
        OdsF,
        SemSegMetric,
    )

    metrics = [
        SemSegMetric(5),
        DepthMetric(),
        NormalsMetric(),
        EdgePixelMetric(),
        OdsF(dataset='nyud', thresholds=(0.3, 0.6))
        if ranks > 1
        else OdsF(dataset='nyud', thresholds=(0.3, 0.6), jobs=1),
    ]
    if collect_dir:
        for number, metric in enumerate(metrics):
            metric.collect_dir = f'{collect_dir}/{number}'
    evaluator = MultiTaskEvaluator(
        metrics,
        baseline={
            'semseg/mIoU': 20.0,
            'depth/rmse': 2.0,
            'normals/mean': 90.0,
            'edge/pixel_AP': 50.0,
        },
    )
    samples = list(make_samples(count))
    padded = samples + samples[: -count % ranks]  # As mmengine's sampler rounds up.
    for sample in padded[rank::ranks]:
        evaluator.process([sample])
    return evaluator.evaluate(count)


def run_rank(rank, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    results = [score(count, rank, 2, f'{folder}/{count}') for count in COUNTS]
    Path(folder, f'rank{rank}.json').write_text(json.dumps(results))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)], env=environment)
        for rank in range(2)
    ]
    assert [rank.wait(timeout=300) for rank in ranks] == [0, 0]
    alone = [score(count) for count in COUNTS]
    for rank in range(2):
        assert json.loads((tmp_path / f'rank{rank}.json').read_text()) == alone


if __name__ == '__main__':
    run_rank(int(sys.argv[1]), sys.argv[2])
