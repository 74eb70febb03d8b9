import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mmbmtas.datasets.transforms import LoadNYUDv2Labels
from mmbmtas.errors import UserError
from mmbmtas.evaluation.edges import (
    EdgeProtocol,
    count_matches,
    edge_scores,
    evaluation_truth,
)
from mmbmtas.evaluation.edges.truths import list_truths, read_truths
from mmbmtas.reading import read_grey
from mmbmtas.structures.boundaries import thin

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/eval_edges.py'
SIZE = (40, 50)


@pytest.fixture
def label_maps():
    maps = {}
    for number, image_id in enumerate(('2008_000002', '2008_000003')):
        label_map = np.zeros(SIZE, dtype=np.uint16)
        label_map[10 + 4 * number : 30, 12:40] = 300
        maps[image_id] = label_map
    return maps


@pytest.fixture
def predictions(label_maps, tmp_path):
    folder = tmp_path / 'predictions'
    folder.mkdir()
    for image_id, label_map in label_maps.items():
        edges = cv2.GaussianBlur(evaluation_truth(label_map).astype(np.float32), (5, 5), 1)
        cv2.imwrite(str(folder / f'{image_id}.png'), (255 * edges).astype(np.uint8))
    return folder


@pytest.fixture
def pascal(label_maps, tmp_path):
    root = tmp_path / 'PASCAL_MT'
    (root / 'pascal-context/trainval').mkdir(parents=True)
    (root / 'ImageSets/Context').mkdir(parents=True)
    (root / 'ImageSets/Context/val.txt').write_text('\n'.join(label_maps) + '\n')
    for image_id, label_map in label_maps.items():
        savemat(root / f'pascal-context/trainval/{image_id}.mat', {'LabelMap': label_map})
    return root


@pytest.fixture
def main(monkeypatch):
    spec = importlib.util.spec_from_file_location('eval_edges', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments), '--jobs', '1'])
        tool.main()

    return run


def test_scores_equal_the_functions(main, predictions, pascal, label_maps, capsys):
    main(predictions, pascal, '--dataset', 'pascal', '--json')
    shown = capsys.readouterr()
    counts = [
        count_matches(
            read_grey(predictions / f'{image_id}.png'),
            [evaluation_truth(label_map)],
            EdgeProtocol(0.0075),
        )
        for image_id, label_map in label_maps.items()
    ]
    assert json.loads(shown.out) == {**edge_scores(counts), 'images': 2}
    assert 'scoring edges: ' in shown.err


@pytest.mark.slow
def test_command_line_with_processes(predictions, pascal):
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    command = [sys.executable, TOOL, predictions, pascal, '--dataset', 'pascal', '--json']
    outputs = [
        subprocess.run(
            [*command, '--jobs', jobs], env=environment, capture_output=True, check=True
        ).stdout
        for jobs in ('1', '2')
    ]
    assert json.loads(outputs[0]) == json.loads(outputs[1])


def test_missing_predictions_are_listed(main, predictions, pascal):
    (predictions / '2008_000003.png').unlink()
    with pytest.raises(UserError, match=r'1 prediction file\(s\) missing:\n.*2008_000003\.png'):
        main(predictions, pascal, '--dataset', 'pascal')


def test_other_size_is_refused(main, predictions, pascal):
    cv2.imwrite(str(predictions / '2008_000003.png'), np.zeros((40, 51), np.uint8))
    with pytest.raises(UserError, match=r'2008_000003\.png is 51 x 40, .*50 x 40; '):
        main(predictions, pascal, '--dataset', 'pascal')


def test_wrong_root_is_named(main, predictions, tmp_path):
    with pytest.raises(UserError, match=r'gt_sets.val\.txt not found; is .* the root of the nyud'):
        main(predictions, tmp_path, '--dataset', 'nyud')
    with pytest.raises(UserError, match=r'no \.mat file in'):
        main(predictions, tmp_path, '--dataset', 'bsds')


def test_bsds_reads_every_annotator(tmp_path):
    cell = np.empty((1, 2), dtype=object)
    boundaries = np.zeros((2, *SIZE), dtype=np.uint8)
    boundaries[0, 5:20, 9] = boundaries[1, 7:20, 10] = 1
    for annotator, boundary in enumerate(boundaries):
        cell[0, annotator] = {'Segmentation': boundary + 1, 'Boundaries': boundary}
    savemat(tmp_path / '100007.mat', {'groundTruth': cell})
    (path,) = list_truths(tmp_path, 'bsds').values()
    np.testing.assert_array_equal(read_truths(path, 'bsds'), boundaries > 0)


@pytest.mark.parametrize('ending', ['.npy', '.png'])
def test_nyud_reads_each_packaging(tmp_path, ending):
    for folder in ('gt_sets', 'edge'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'gt_sets/val.txt').write_text('0001\n')
    edge = np.zeros(SIZE, dtype=np.uint8)
    edge[8:30, 20:22] = 1
    path = tmp_path / f'edge/0001{ending}'
    if ending == '.npy':
        np.save(path, edge.astype(np.float64))
    else:
        cv2.imwrite(str(path), edge * 255)
    (found,) = list_truths(tmp_path, 'nyud').values()
    (truth,) = read_truths(found, 'nyud')
    np.testing.assert_array_equal(truth, evaluation_truth(edge))
    assert (truth == thin(truth)).all()


@pytest.mark.parametrize('form', ['1-bit', '0/1', 'palette'])
def test_training_and_evaluation_read_the_same_edges(tmp_path, form):
    edge = np.zeros(SIZE, bool)
    edge[8:30, 20] = True
    picture = Image.fromarray(edge if form == '1-bit' else edge.astype(np.uint8))
    if form == 'palette':
        picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / '0001.png')
    label = LoadNYUDv2Labels()(
        {
            'img_path': '',
            'ori_shape': SIZE,
            'label_paths': {'edge': str(tmp_path / '0001.png')},
            'tasks': ['edge'],
        }
    )['gt_edge']
    assert np.array_equal(label, edge)
    (truth,) = read_truths(tmp_path / '0001.png', 'nyud')
    assert np.array_equal(truth, evaluation_truth(edge))


@pytest.mark.parametrize(
    ('dataset', 'content'),
    [
        ('pascal', {'other': 1}),
        ('pascal', {'LabelMap': np.ones((2, 3, 4))}),
        ('bsds', {'other': 1}),
        ('bsds', {'groundTruth': np.ones((3, 3))}),
        ('bsds', None),
    ],
)
def test_other_matlab_files_are_named(tmp_path, dataset, content):
    path = tmp_path / 'a.mat'
    if content is None:
        path.write_bytes(b'no MATLAB file')
    else:
        savemat(path, content)
    with pytest.raises(ValueError, match=r'a\.mat: expected'):
        read_truths(path, dataset)


def test_only_grey_eight_bit_images_are_read(tmp_path):
    colour = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'colour.png'), colour)
    cv2.imwrite(str(tmp_path / 'deep.png'), colour[..., 0].astype(np.uint16) * 256)
    (tmp_path / 'text.png').write_text('none')
    for name in ('colour', 'deep'):
        with pytest.raises(ValueError, match='expected 8-bit grey'):
            read_grey(tmp_path / f'{name}.png')
    with pytest.raises(ValueError, match='expected a readable image'):
        read_grey(tmp_path / 'text.png')
