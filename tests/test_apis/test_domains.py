"""Inference with a network of several domains, of which the user names one."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmbmtas.apis import MultiTaskInferencer
from mmbmtas.errors import InputError

ROOT = Path(__file__).parents[2]
DOMAINS = {'digits': ['digits'], 'rooms': ['semseg', 'depth']}
META = {
    'classes': {'digits': ['one', 'two', 'three'], 'semseg': [f'thing {i}' for i in range(21)]},
    'task_kinds': {'digits': 'label'},
}


@pytest.fixture(scope='module')
def files(toys, tmp_path_factory):
    """Config and checkpoint of a small network of two domains, whose images are padded apart."""
    folder = tmp_path_factory.mktemp('network')
    config = toys.path_config(DOMAINS)
    network = toys.build(config).eval()
    toys.randomise(network)
    network.backbone.architecture.save(folder / 'paths.json')
    model = {**config, 'backbone': {'type': 'PathNetwork', 'domains': DOMAINS}}
    preprocessor = {'type': 'mmengine.ImgDataPreprocessor', 'mean': [127.5] * 3, 'std': [127.5] * 3}
    sets = [
        {
            'type': 'FolderMT',
            'data_root': 'none',
            'pipeline': [
                {'type': 'LoadSampleImage'},
                {'type': 'PadToSize', 'size': size},
                {'type': 'PackMultiTaskInputs'},
            ],
        }
        for size in ((64, 64), (96, 96))
    ]
    Config(
        {
            'default_scope': 'mmbmtas',
            'model': {**model, 'data_preprocessor': preprocessor},
            'architecture': 'paths.json',
            'test_dataloader': {
                'dataset': {'type': 'ConcatDataset', 'datasets': sets, 'domains': [*DOMAINS]}
            },
        }
    ).dump(folder / 'config.py')
    state = {'state_dict': network.state_dict(), 'meta': {'dataset_meta': META}}
    torch.save(state, folder / 'weights.pth')
    return folder / 'config.py', folder / 'weights.pth'


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    return tmp_path / 'a.png'


@pytest.mark.parametrize('fuse', [False, True])
@pytest.mark.parametrize(('domain', 'side'), [('digits', 64), ('rooms', 96)])
def test_one_domain(files, photo, domain, side, fuse):
    infer = MultiTaskInferencer(*files, device='cpu', domain=domain, fuse_conv_bn=fuse)
    assert infer.network_input(np.zeros((50, 60, 3), np.uint8)).shape == (side, side, 3)
    (found,) = infer(photo)['predictions']
    assert found.keys() == {*DOMAINS[domain]}
    whole = MultiTaskInferencer(*files, device='cpu')
    whole.model.domain = domain
    whole.pipeline = infer.pipeline
    (expected,) = whole(photo)['predictions']
    for task in DOMAINS[domain]:
        np.testing.assert_allclose(found[task], expected[task], rtol=1e-3, atol=1e-4)


def test_no_domain(files, photo):
    with pytest.raises(InputError, match=r"--domain\), one of \['digits', 'rooms'\]"):
        MultiTaskInferencer(*files, device='cpu')(photo)


def test_a_domain_that_is_missing(files):
    with pytest.raises(InputError, match="'birds': expected one of the domains"):
        MultiTaskInferencer(*files, device='cpu', domain='birds')


def test_statistics_of_several_domains_cannot_be_folded(files):
    with pytest.raises(InputError, match='cannot be folded'):
        MultiTaskInferencer(*files, device='cpu', fuse_conv_bn=True)


def test_a_domain_without_test_data(files):
    cfg = Config.fromfile(files[0])
    cfg.architecture = str(files[0].with_name('paths.json'))
    cfg.test_dataloader.dataset.domains = ['digits', 'kitchens']
    with pytest.raises(InputError, match="no data set of the domain 'rooms'"):
        MultiTaskInferencer(cfg, files[1], device='cpu', domain='rooms')


def test_the_command(files, photo, tmp_path, monkeypatch):
    words = ['infer.py', *files, photo, '-o', tmp_path / 'out', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', [*map(str, words), '--domain', 'digits'])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools/infer.py'), run_name='__main__')
    assert caught.value.code == 0
    found = json.loads((tmp_path / 'out/digits/a.json').read_text())
    assert found['class'] in META['classes']['digits']
    assert not (tmp_path / 'out/semseg').exists()


def test_the_command_without_a_domain_says_so_at_once(files, photo, tmp_path, monkeypatch, capsys):
    words = ['infer.py', *files, photo, '-o', tmp_path / 'out', '--device', 'cpu']
    monkeypatch.setattr(sys, 'argv', [*map(str, words)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools/infer.py'), run_name='__main__')
    assert caught.value.code != 0
    told = capsys.readouterr().err
    assert "one of ['digits', 'rooms']" in told
    assert 'predicting images' not in told
    assert not (tmp_path / 'out').exists()


def test_exported_by_command(files, tmp_path):
    """The file of a domain, and that of all, agree with the network."""
    pytest.importorskip('onnxruntime')
    export = runpy.run_path(str(ROOT / 'tools/export_onnx.py'))['main']
    for name, words in (('rooms', ['--domain', 'rooms']), ('all', [])):
        out = tmp_path / f'{name}.onnx'
        export([*map(str, files), '-o', str(out), '--verify', *words])
        described = json.loads(out.with_suffix('.onnx.json').read_text())
        expected = {'semseg', 'depth'} if name == 'rooms' else {'digits', 'semseg', 'depth'}
        assert {*described['tasks']} == expected


def test_a_tree_has_no_domains(toys, tmp_path):
    config = toys.branched_config(['semseg', 'depth'], toys.TINY)
    dataset = {'type': 'FolderMT', 'data_root': 'none', 'pipeline': []}
    cfg = Config({'model': config, 'test_dataloader': {'dataset': dataset}})
    torch.save({'state_dict': toys.build(config).state_dict()}, tmp_path / 'a.pth')
    with pytest.raises(InputError, match="domain 'rooms': a MultiTaskEncoderDecoder has no"):
        MultiTaskInferencer(cfg, tmp_path / 'a.pth', device='cpu', domain='rooms')
