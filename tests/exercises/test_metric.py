"""Exercise: a metric with a unit of its own stands for a task in a comparison."""

import textwrap

import numpy as np
import pytest

from mmbmtas.comparison.report import write_report
from mmbmtas.comparison.results import read_rows
from mmbmtas.evaluation import TaskMetric
from mmbmtas.registry import METRICS

SPEC = """
search = {root!r} + '/configs/search_scenes.py'
branched = BRANCHED
data_root = ROOT
seeds = [0]
models = dict(single=dict(kind='single'), shared=dict(kind='shared'))
"""
CONFIG = """
_base_ = {root!r} + '/configs/branched_scenes.py'
test_evaluator = [
    dict(type='PsnrMetric', task='normals'),
    *[metric for metric in _base_.test_evaluator if metric['type'] != 'mmbmtas.NormalsMetric'],
]
"""
# In place of tools/test.py: single-task networks have 20 dB, others 5 dB more.
TEST = """
import json, pathlib, sys
words = sys.argv[1:]
tree = next(w for w in words if w.startswith('architecture=')).split('=')[1]
tasks = json.loads(pathlib.Path(tree).read_text())['tasks']
keys = {
    'semseg': 'semseg/mIoU', 'human_parts': 'human_parts/mIoU', 'saliency': 'saliency/maxIoU',
    'edge': 'edge/pixel_AP', 'normals': 'normals/psnr',
}
scores = {keys[task]: (20.0 if task == 'normals' else 50.0) for task in tasks}
if len(tasks) > 1:
    scores['normals/psnr'] = 25.0
pathlib.Path(words[words.index('--out') + 1]).write_text(json.dumps(scores))
"""


class PsnrMetric(TaskMetric):
    """Peak signal-to-noise ratio of maps of vectors whose components are in [-1, 1]."""

    headline_name = 'psnr'
    unit = 'dB'
    digits = 1

    def score_image(self, prediction, label, sample):
        return [np.square(label - prediction).mean(dtype=float)]

    def pool_images(self, results):
        error = np.mean([image[0] for image in results]) if results else np.nan
        return {'psnr': 10 * np.log10(4 / error)}


@pytest.fixture
def _registered(monkeypatch):
    monkeypatch.setitem(METRICS.module_dict, 'PsnrMetric', PsnrMetric)


def test_its_number_is_right_by_hand():
    metric = PsnrMetric(task='normals')
    sample = {
        'gt_normals': {'data': np.ones((3, 2, 2))},
        'pred_normals': {'data': np.zeros((3, 2, 2))},
    }
    metric.process(None, [sample])
    assert metric.evaluate(1)['normals/psnr'] == pytest.approx(10 * np.log10(4))


@pytest.mark.usefixtures('_registered')
def test_it_stands_for_its_task(compare, tools, tmp_path, pytestconfig):
    (tools / 'test.py').write_text(textwrap.dedent(TEST))
    config = tmp_path / 'branched.py'
    root = str(pytestconfig.rootpath)
    config.write_text(CONFIG.format(root=root))
    text = SPEC.format(root=root).replace('BRANCHED', repr(str(config)))
    harness, _ = compare(text)
    rows = {row.run: row for row in read_rows(harness.out / 'results.csv')}
    assert all(row.is_done for row in rows.values())
    assert rows['shared_seed0'].metrics['normals/psnr'] == 25
    # More is better: a gain of 25 % in one of five tasks.
    assert rows['shared_seed0'].numbers['delta_m'] == pytest.approx(25 / 5)
    write_report(
        harness.out,
        'Own',
        'command',
        harness.listed_rows(),
        ['single', 'shared'],
        harness.headlines,
        None,
    )
    report = (harness.out / 'report.md').read_text()
    assert 'dB' in report
    assert '25.0' in report
    assert '25.00' not in report
