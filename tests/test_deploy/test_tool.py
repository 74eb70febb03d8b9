"""tools/export_onnx.py, from config and checkpoint to a file that others can read."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def decided(files, export, tmp_path_factory):
    """A file of predictions at any size."""
    path = tmp_path_factory.mktemp('decided') / 'network.onnx'
    export(*files, '-o', path, '--dynamic', '--postprocess', 'decision')
    return path


def run(path, image):
    """The outputs for an RGB image ``(H, W, 3)``, by ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    (place,) = session.get_inputs()
    assert (place.name, place.type) == ('image', 'tensor(uint8)')
    found = session.run(None, {'image': image.transpose(2, 0, 1)[None]})
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize('shape', [(64, 64), (37, 53), (5, 3), (16, 90)])
def test_decisions_are_the_predictions_of_the_package(trained, decided, shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    outputs = run(decided, image)
    (expected,) = trained(image[..., ::-1])['predictions']
    assert {*outputs} == {*expected}
    for task, array in expected.items():
        found = outputs[task][0].transpose(1, 2, 0)
        assert found.dtype == array.dtype
        assert found.shape[:2] == shape
        if task == 'semseg':
            assert np.mean(found[..., 0] == array) > 0.999
        else:
            close = np.abs(found - array.reshape(found.shape)) < 1e-4 * np.abs(array).max()
            assert close.mean() > 0.999


def test_the_file_says_what_its_outputs_mean(decided):
    model = onnx.load(decided)
    written = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    beside = json.loads(decided.with_name('network.onnx.json').read_text())
    assert written == {f'mmbmtas.{key}': value for key, value in beside.items()}
    assert beside['input']['shape'] == ['batch', 3, 'height', 'width']
    assert beside['padding'] == {'size': [1, 1], 'divisor': 16, 'value': 128}
    semseg, _, _, depth = beside['tasks'].values()
    assert semseg['holds'] == 'class ids'
    assert semseg['type'] == 'uint8'
    assert semseg['classes'][3] == 'thing 3'
    assert semseg['palette'][3] == [3, 6, 9]
    assert (depth['unit'], depth['output'], depth['channels']) == ('m', 'value', 1)
    assert beside['architecture']['madds']['network'] == beside['madds']['network'] > 0
    shapes = {
        output.name: [dim.dim_param or dim.dim_value for dim in output.type.tensor_type.shape.dim]
        for output in model.graph.output
    }
    assert shapes['semseg'] == ['batch', 1, 'height', 'width']
    assert shapes['normals'] == ['batch', 3, 'height', 'width']


def test_verify_prints_the_differences(files, export, tmp_path, capsys):
    words = ('--shape', 48, 80, '--tasks', 'normals', 'semseg', '--verify')
    export(*files, '-o', tmp_path / 'a.onnx', *words)
    told = capsys.readouterr().out
    assert 'normals' in told
    assert '48x80' in told
    export(*files, '-o', tmp_path / 'b.onnx', *words, '--dynamic', '--postprocess', 'decision')
    told = capsys.readouterr().out
    assert {'25x27', '61x53'} < {*told.split()}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *('a.onnx', 'a.onnx.json'),
        *('b.onnx', 'b.onnx.json'),
    ]


@pytest.mark.parametrize('postprocess', ['none', 'decision'])
def test_verify_refuses_a_file_that_differs(files, export, tmp_path, differs, postprocess):
    """The network that is compared has one weight that the traced one has not."""
    words = ('--tasks', 'semseg', 'depth', '--postprocess', postprocess, '--verify')
    with pytest.raises(ValueError, match='differs from the trained one: depth by'):
        export(*files, '-o', tmp_path / 'network.onnx', *words)
    assert not [*tmp_path.iterdir()]


def test_half_precision(files, export, decided, tmp_path):
    path = tmp_path / 'half.onnx'
    export(*files, '-o', path, '--dynamic', '--postprocess', 'decision', '--fp16', '--verify')
    floats = {
        weight.data_type
        for weight in onnx.load(path).graph.initializer
        if weight.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
    assert floats == {onnx.TensorProto.FLOAT16}
    assert json.loads((tmp_path / 'half.onnx.json').read_text())['precision'] == 'float16'
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    expected, found = run(decided, image), run(path, image)
    for task, array in expected.items():
        assert found[task].dtype == array.dtype
        difference = np.abs(found[task].astype(float) - array)
        assert difference.max() > 0 or task == 'semseg'  # it does compute in half precision
        assert np.mean(difference > 1e-2 * np.abs(array).max()) < 0.02


def test_a_pipeline_that_resizes_is_refused(files, export, tmp_path):
    config = Config.fromfile(files[0])
    resize = {'type': 'ResizeSample', 'scale_factor': 0.5}
    config.test_dataloader.dataset.pipeline.insert(2, resize)
    config.dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=r'test pipeline \(LoadPascal.*, ResizeSample, PadToSize'):
        export(tmp_path / 'config.py', files[1], '-o', tmp_path / 'network.onnx')


def test_a_least_size_is_padded_to_as_well(files, export, tmp_path):
    """PASCAL-Context's pipeline pads to 512 x 512; here to 48 x 80."""
    config = Config.fromfile(files[0])
    config.test_dataloader.dataset.pipeline[2].size = (48, 80)
    config.dump(tmp_path / 'config.py')
    words = ('--dynamic', '--shape', 40, 90, '--verify')
    export(tmp_path / 'config.py', files[1], '-o', tmp_path / 'network.onnx', *words)
    written = json.loads((tmp_path / 'network.onnx.json').read_text())
    assert written['padding'] == {'size': [48, 80], 'divisor': 16, 'value': 128}


def test_places_are_checked_first(export, tmp_path, capsys):
    with pytest.raises(ValueError, match=r'ends with one of \.onnx'):
        export('lost.py', 'lost.pth', '-o', tmp_path / 'network.pt')
    (tmp_path / 'network.onnx.json').mkdir()
    with pytest.raises(FileExistsError, match=r'network\.onnx\.json is a folder'):
        export('lost.py', 'lost.pth', '-o', tmp_path / 'network.onnx')


@pytest.mark.parametrize(
    ('name', 'more'), [('onnx', ()), ('onnxruntime', ('--verify',)), ('onnxruntime', ('--fp16',))]
)
def test_a_missing_package_is_named(export, tmp_path, monkeypatch, name, more):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"package {name}, .*pip install 'mmbmtas\[onnx\]'"):
        export('lost.py', 'lost.pth', '-o', tmp_path / 'network.onnx', *more)
