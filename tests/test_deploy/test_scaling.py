"""Exported networks of pipelines that scale images, as ``new-project`` writes them."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmbmtas import deploy
from mmbmtas.apis import MultiTaskInferencer
from mmbmtas.datasets.transforms.geometry import scaled_size
from mmbmtas.deploy.model import use_exported
from mmbmtas.errors import InputError

VIEW = {'type': 'ViewImage', 'scale_factor': 0.62}


@pytest.fixture(scope='module')
def scaled(files, tmp_path_factory):
    """The config and the checkpoint, of images scaled by 0.62."""
    config = Config.fromfile(files[0])
    config.test_dataloader.dataset.pipeline.insert(2, VIEW)
    path = tmp_path_factory.mktemp('scaled') / 'config.py'
    config.dump(path)
    return path, files[1]


@pytest.mark.parametrize('scale', [0.62, 0.31, 0.5, 1.5, 0.01])
def test_sides_are_those_of_the_transform(scale):
    padding = deploy.Padding(scale=Fraction(str(scale)))
    for side in range(1, 300):
        results = {'img': np.zeros((side, 1, 3), np.uint8)}
        assert padding.scaled(side) == scaled_size(results, scale)[1]
        assert padding.scaled(torch.tensor(side)) == padding.scaled(side)


@pytest.mark.parametrize('suffix', ['.onnx', '.pt2', '.ts'])
def test_files_of_all_formats_pass_the_verification(scaled, export, tmp_path, suffix, capsys):
    for package in ('onnx', 'onnxruntime'):
        pytest.importorskip(package)
    if suffix == '.pt2' and not hasattr(torch.export, 'save'):
        pytest.skip('torch.export is too young')
    free = [] if suffix == '.pt2' else ['--dynamic']
    words = ['--shape', 61, 80, '--tasks', 'semseg', 'depth', '--verify', *free]
    export(*scaled, '-o', tmp_path / f'network{suffix}', *words)
    assert 'compared on images scaled so' in capsys.readouterr().out
    written = json.loads((tmp_path / f'network{suffix}.json').read_text())
    assert written['padding'] == {'scale': 0.62, 'size': [1, 1], 'divisor': 16, 'value': 128}
    # int(61 * 0.62 + 0.5) and int(80 * 0.62 + 0.5)
    assert written['madds']['shape'] == [38, 50]


def test_outputs_are_those_of_the_pipeline(scaled, export, tmp_path):
    """OpenCV rounds what it scales, the file does not."""
    onnxruntime = pytest.importorskip('onnxruntime')
    export(*scaled, '-o', tmp_path / 'network.onnx', '--dynamic')
    session = onnxruntime.InferenceSession(str(tmp_path / 'network.onnx'))
    trained = MultiTaskInferencer(*scaled, device='cpu')
    image = np.kron(
        np.random.default_rng(0).integers(0, 256, (5, 7, 3)), np.ones((9, 9, 1))
    ).astype(np.uint8)
    names = [output.name for output in session.get_outputs()]
    rgb = image[..., ::-1].transpose(2, 0, 1)[None]
    outputs = dict(zip(names, session.run(None, {'image': np.ascontiguousarray(rgb)}), strict=True))
    for task, expected in trained.predict_maps(image).items():
        expected = expected.numpy()
        assert outputs[task][0].shape == expected.shape == (*expected.shape[:1], 45, 63)
        error = np.abs(outputs[task][0] - expected).mean()
        assert error < 0.01 * expected.std()


def test_its_metrics_are_those_of_the_network(scaled, export, tmp_path):
    pytest.importorskip('onnxruntime')
    from mmbmtas import launch

    export(*scaled, '-o', tmp_path / 'network.onnx', '--dynamic', '--postprocess', 'decision')
    found = {}
    for name in ('torch', 'onnx'):
        cfg = Config.fromfile(scaled[0])
        cfg.merge_from_dict({'work_dir': str(tmp_path / name), 'load_from': str(scaled[1])})
        cfg.launcher = 'none'
        if name == 'onnx':
            use_exported(cfg, str(tmp_path / 'network.onnx'))
        launch.prepare_config(cfg, training=False)
        found[name] = launch.runner_of(cfg, strict=True).test()
    for name in ('semseg/mIoU', 'saliency/maxIoU', 'normals/mean'):
        assert found['onnx'][name] == pytest.approx(found['torch'][name], abs=0.5), name


@pytest.mark.parametrize(
    ('place', 'steps'),
    [
        (2, [{**VIEW, 'flip': True}]),
        (2, [VIEW, VIEW]),
        (3, [VIEW]),  # after the padding
    ],
)
def test_other_steps_are_refused(files, place, steps, tmp_path):
    config = Config.fromfile(files[0])
    config.test_dataloader.dataset.pipeline[place:place] = steps
    trained = MultiTaskInferencer(config, files[1], device='cpu')
    with pytest.raises(InputError, match='does more to images than a ViewImage'):
        deploy.padding_of(trained.pipeline.transforms, trained.network_input)


@pytest.mark.parametrize('suffix', ['.onnx', '.ts'])
def test_a_network_that_has_learnt_little_keeps_its_sizes_free(toys, build_network, suffix):
    """Its depth is 7 m, give or take a millimetre: float32 rounds 7 by up to 2e-7."""
    pytest.importorskip('onnxruntime')
    network = build_network(toys.branched_config(['depth'], toys.TINY))
    with torch.no_grad():
        network.decode_heads['depth'].conv_seg.weight.mul_(1e-4)
        network.decode_heads['depth'].conv_seg.bias.fill_(7.0)
    deploy.export_network(network, {}, dynamic=True, suffix=suffix, padding=deploy.Padding())
