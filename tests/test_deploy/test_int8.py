"""tools/export_onnx.py --int8: calibrated, scored beside float32, and read by ONNX Runtime."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmbmtas import deploy

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path):
    """A folder of images of several sizes."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for index in range(6):
        size = (50 + index, 40 + 3 * index, 3)
        pixels = np.random.default_rng(index).integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{index}.png')
    return folder


def draw(count):
    rng = np.random.default_rng(9)
    return [rng.integers(0, 256, (1, 3, 64, 64), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize('decide', [False, True])
def test_eight_bits_but_for_the_last_layers(trained, decide):
    exported = deploy.export_network(trained.model, {}, decide=decide, dynamic=True)
    quantised = deploy.to_int8(exported, draw(4))
    model = onnx.load_from_string(quantised.content)
    types = {weight.name: weight.data_type for weight in model.graph.initializer}
    of_floats = [
        [node.name for node in model.graph.node if types.get(name) == onnx.TensorProto.FLOAT]
        for node in model.graph.node
        if node.op_type == 'Conv'
        for name in node.input[1:2]
    ]
    # Convolutions that still read their weights in float32: one for each task.
    assert sum(map(bool, of_floats)) == len(trained.model.tasks)
    assert {'QuantizeLinear', 'DequantizeLinear'} < {node.op_type for node in model.graph.node}
    assert quantised.description['precision'] == 'int8'
    plain, few = (onnxruntime.InferenceSession(x.content) for x in (exported, quantised))
    for image in draw(2):
        names = [output.name for output in plain.get_outputs()]
        outputs = (session.run(None, {'image': image}) for session in (plain, few))
        for task, expected, found in zip(names, *outputs, strict=True):
            assert found.dtype == expected.dtype
            if found.dtype == np.float32:
                error = np.abs(found - expected).mean() / np.ptp(expected)
                assert 0 < error < 0.05, task


def test_the_metrics_are_those_of_the_test_tool(
    files, export, photos, tmp_path, monkeypatch, capsys
):
    path = tmp_path / 'network.onnx'
    words = ['--tasks', 'semseg', 'normals', '--shape', 64, 64, '--dynamic', '--verify']
    export(*files, '-o', path, '--int8', photos, *words)
    told = capsys.readouterr().out
    assert 'Calibrated on 6 images' in told
    calibration = json.loads((tmp_path / 'network.onnx.json').read_text())['source']['calibration']
    assert (calibration['images'], calibration['number']) == ('photos', 6)

    def score(checkpoint):
        words = (files[0], checkpoint, '--out', tmp_path / 'out.json', '--work-dir', tmp_path / 'w')
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, words)])
        runpy.run_path(str(ROOT / 'tools' / 'test.py'), run_name='__main__')
        return json.loads((tmp_path / 'out.json').read_text())

    for name, checkpoint in (('float32', files[1]), ('int8', path)):
        expected, found = score(checkpoint), calibration['metrics'][name]
        assert 'semseg/mIoU' in found
        for metric, value in found.items():
            assert value == pytest.approx(expected[metric], rel=1e-3, abs=1e-3)
    lines = {line.split()[0]: line.split()[1:] for line in told.splitlines() if '/' in line}
    for metric, value in calibration['metrics']['int8'].items():
        assert float(lines[metric][1]) == pytest.approx(value, abs=1e-4)


def test_images_of_the_training_split(files, export, pascal_root, tmp_path, capsys):
    config = Config.fromfile(files[0])
    train = {**config.test_dataloader, 'dataset': {**config.test_dataloader.dataset}}
    train['dataset']['data_root'] = str(shutil.copytree(pascal_root, tmp_path / 'others'))
    train['dataset']['split'] = 'train'
    config.train_dataloader = train
    config.train_cfg = {'type': 'mmengine.IterBasedTrainLoop', 'max_iters': 1}
    config.optim_wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
    config.dump(tmp_path / 'config.py')
    words = ('--int8', 'train', '--dynamic', '--tasks', 'saliency')
    export(tmp_path / 'config.py', files[1], '-o', tmp_path / 'a.onnx', *words)
    ids = (pascal_root / 'ImageSets/Context/train.txt').read_text().split()
    assert f'Calibrated on {len(ids)} images (train)' in capsys.readouterr().out


def test_what_cannot_be_calibrated_on(files, export, pascal_root, tmp_path, capsys):
    out = tmp_path / 'a.onnx'
    with pytest.raises(FileNotFoundError, match=r'--int8 lost: there is no such folder; expected'):
        export(*files, '-o', out, '--int8', 'lost')
    with pytest.raises(ValueError, match=r'has no train_dataloader, whose images are needed'):
        export(*files, '-o', out, '--int8', 'train')
    with pytest.raises(ValueError, match=r'images are in the test set too \(such as .*JPEGImages'):
        export(*files, '-o', out, '--int8', pascal_root / 'JPEGImages')
    with pytest.raises(SystemExit):
        export(*files, '-o', out, '--int8', 'train', '--fp16')
    assert 'not allowed with argument' in capsys.readouterr().err
    assert not out.exists()
