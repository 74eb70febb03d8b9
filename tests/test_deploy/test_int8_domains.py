"""Networks of several domains with 8 bits: the file of all, and that of one."""

import json

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.deploy import OnnxNetwork
from mmbmtas.registry import MODELS

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
DOMAINS = {'digits': 10, 'faces': 2}  # of 20 images for training each


@pytest.fixture(scope='module')
def files(layouts, toys, pytestconfig, tmp_path_factory):
    """Config and checkpoint of a network of two of the pocket domains."""
    folder = tmp_path_factory.mktemp('pocket')
    options = {'data_root': str(layouts.write_pocket(folder / 'data')), 'tasks': [*DOMAINS]}
    path = pytestconfig.rootpath / 'configs/mpnas/paths_pocket.py'
    cfg = launch.read_config(str(path), options)
    cfg.launcher = 'none'
    launch.prepare_config(cfg, training=False)
    init_default_scope('mmbmtas')
    network = MODELS.build(cfg.model)
    toys.randomise(network)
    meta = {
        'classes': {name: [f'class {i}' for i in range(count)] for name, count in DOMAINS.items()},
        'task_kinds': dict.fromkeys(DOMAINS, 'label'),
    }
    state = {'state_dict': network.state_dict(), 'meta': {'dataset_meta': meta}}
    torch.save(state, folder / 'weights.pth')
    cfg.dump(folder / 'config.py')
    return folder / 'config.py', folder / 'weights.pth'


@pytest.mark.parametrize(
    ('words', 'domains'), [([], [*DOMAINS]), (['--domain', 'faces'], ['faces'])]
)
def test_calibrated_and_scored_on_its_domains(files, export, tmp_path, words, domains, capsys):
    path = tmp_path / 'network.onnx'
    export(*files, '-o', path, '--int8', 'train', '--shape', 32, 32, '--verify', *words)
    assert f'Calibrated on {20 * len(domains)} images (train)' in capsys.readouterr().out
    described = json.loads((tmp_path / 'network.onnx.json').read_text())
    assert described['precision'] == 'int8'
    metrics = described['source']['calibration']['metrics']
    scored = {name.partition('/')[0] for name in metrics['int8'] if '/' in name}
    assert scored == {*domains}
    assert metrics['int8'].keys() == metrics['float32'].keys()
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert {'QuantizeLinear', 'DequantizeLinear'} < operators
    export(*files, '-o', tmp_path / 'plain.onnx', '--shape', 32, 32, *words)
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
    found, expected = (OnnxNetwork(p, 'cpu').run(image) for p in (path, tmp_path / 'plain.onnx'))
    for name in domains:
        assert found[name].shape == (1, DOMAINS[name])
        error = np.abs(found[name] - expected[name]).max()
        assert 0 < error < 0.3 * np.abs(expected[name]).max()
