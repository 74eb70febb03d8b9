"""Exported networks in the place of trained ones: on photographs, and on a test set."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmbmtas import deploy
from mmbmtas.apis import MultiTaskInferencer, OnnxInferencer

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def exported(trained, tmp_path_factory):
    """Export with some options; return the file."""

    def export(**options):
        padding = deploy.padding_of(trained.pipeline.transforms, trained.network_input)
        path = tmp_path_factory.mktemp('exported') / 'network.onnx'
        deploy.export_network(
            trained.model, trained.dataset_meta, padding=padding, **options
        ).write(path)
        return path

    return export


@pytest.fixture(scope='module')
def maps(exported):
    return exported(dynamic=True)


def run_tool(monkeypatch, name, *words):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
    runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')


@pytest.mark.parametrize('decide', [False, True])
def test_photographs_without_config_and_checkpoint(trained, exported, maps, tmp_path, decide):
    path = exported(dynamic=True, decide=True) if decide else maps
    images = [
        np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        for shape in ((64, 64), (37, 53), (3, 5))
    ]
    found = OnnxInferencer(path)(images, out_dir=tmp_path)['predictions']
    for arrays, expected in zip(found, trained(images)['predictions'], strict=True):
        assert {task: (a.dtype, a.shape) for task, a in arrays.items()} == {
            task: (a.dtype, a.shape) for task, a in expected.items()
        }
        assert np.mean(arrays['semseg'] == expected['semseg']) > 0.999
        for task in ('saliency', 'normals', 'depth'):
            close = np.abs(arrays[task] - expected[task]) < 1e-4 * np.abs(expected[task]).max()
            assert close.mean() > 0.999
    palette = Image.open(tmp_path / 'semseg/image.png').getpalette()
    assert palette[3 * 7 : 3 * 8] == [7, 14, 21]


def test_the_inferencer_computes_in_onnx_runtime(files, trained, monkeypatch):
    infer = MultiTaskInferencer(*files, device='cpu', backend='onnxruntime')
    monkeypatch.setattr(infer.model, 'forward', None)  # torch has no part in it
    images = [
        np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        for shape in ((64, 64), (37, 53))
    ]
    found = infer(images)['predictions']
    for arrays, expected in zip(found, trained(images)['predictions'], strict=True):
        assert np.mean(arrays['semseg'] == expected['semseg']) > 0.999
        np.testing.assert_allclose(arrays['depth'], expected['depth'], rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match='have no effect in ONNX Runtime'):
        MultiTaskInferencer(*files, fuse_conv_bn=True, backend='onnxruntime')
    with pytest.raises(ValueError, match="backend 'trt': expected 'torch' or 'onnxruntime'"):
        MultiTaskInferencer(*files, backend='trt')


def test_another_size_than_exported_for(exported):
    infer = OnnxInferencer(exported(shape=(32, 48)))
    image = np.zeros((32, 48, 3), np.uint8)
    assert infer(image)['predictions'][0]['semseg'].shape == (32, 48)
    with pytest.raises(ValueError, match='takes 1 image of 32 x 48 pixels at a time, not 1 of 48'):
        infer(image.transpose(1, 0, 2))


def test_the_test_tool_gives_the_same_metrics(files, exported, maps, tmp_path, monkeypatch):
    """Within 1e-3: a decided pixel may differ where two classes are all but equal."""

    def score(name):
        words = (files[0], name, '--out', tmp_path / 'metrics.json')
        run_tool(monkeypatch, 'test.py', *words, '--work-dir', tmp_path / 'work')
        return json.loads((tmp_path / 'metrics.json').read_text())

    expected, of_maps = score(files[1]), score(maps)
    some = score(exported(dynamic=True, decide=True, tasks=('normals', 'semseg')))
    assert {*of_maps} == {*expected} > {'semseg/mIoU'}
    assert {*some} == {key for key in expected if 'saliency' not in key}
    for key in {*expected} - {'data_time', 'time'}:
        for found in (of_maps, some):
            known = expected[key]
            assert found.get(key, known) == pytest.approx(known, rel=1e-3, abs=1e-3), key


def test_decisions_are_not_resized(files, exported, tmp_path, monkeypatch, capsys):
    path = exported(dynamic=True, decide=True)
    config = Config.fromfile(files[0])
    config.test_dataloader.dataset.pipeline.insert(1, {'type': 'mmcv.Resize', 'scale': (40, 40)})
    config.dump(tmp_path / 'config.py')
    with pytest.raises(SystemExit):
        run_tool(
            monkeypatch, 'test.py', tmp_path / 'config.py', path, '--work-dir', tmp_path / 'work'
        )
    assert 'export it with --postprocess none' in capsys.readouterr().err


def test_the_infer_tool_takes_the_file_alone(maps, tmp_path, monkeypatch, capsys):
    Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(tmp_path / 'photo.png')
    words = ('infer.py', maps, tmp_path / 'photo.png', '-o', tmp_path / 'out')
    with pytest.raises(SystemExit) as end:
        run_tool(monkeypatch, *words)
    assert end.value.code == 0
    assert np.load(tmp_path / 'out/depth/photo.npy').shape == (20, 30)
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, *words, '--fuse-conv-bn')
    assert 'error: --fuse-conv-bn has no effect' in capsys.readouterr().err


def test_files_that_are_no_exported_network(maps, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'lost\.onnx is not an ONNX file'):
        OnnxInferencer(tmp_path / 'lost.onnx')
    path = tmp_path / 'broken.onnx'
    path.write_bytes(maps.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r'broken\.onnx is not an ONNX file that can be run'):
        OnnxInferencer(path)
    for change, message in (
        (lambda model: model.ClearField('metadata_props'), 'does not describe its tasks'),
        (lambda model: _say(model, 'version', '2'), 'version: found 2, expected 1'),
        (lambda model: _say(model, 'tasks', '{"../up": {}}'), 'tasks: found'),
        (lambda model: _say(model, 'tasks', '{'), 'its metadata cannot be read'),
        (lambda model: _say(model, 'tasks', '{"semseg": {"output": 3}}'), r'tasks\.semseg: found'),
    ):
        model = onnx.load(maps)
        change(model)
        onnx.save(model, path)
        with pytest.raises(ValueError, match=message):
            OnnxInferencer(path)


def _say(model, key, text):
    (entry,) = (entry for entry in model.metadata_props if entry.key == f'mmbmtas.{key}')
    entry.value = text
