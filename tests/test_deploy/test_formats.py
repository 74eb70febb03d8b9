"""tools/export_onnx.py to the formats of torch, read back by torch alone."""

import io
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.version import Version

from mmbmtas import deploy

ROOT = Path(__file__).parents[2]
OLD = Version(torch.__version__) < Version('2.6')
PROGRAM = pytest.param('.pt2', marks=pytest.mark.skipif(OLD, reason='torch.export was not ready'))
SUFFIXES = [PROGRAM, '.ts']


def load(path):
    """The module in a file, and the description with it."""
    extra = {'mmbmtas.json': ''}
    if path.suffix == '.ts':
        return torch.jit.load(str(path), _extra_files=extra), json.loads(extra['mmbmtas.json'])
    program = torch.export.load(str(path), extra_files=extra)
    return program.module(), json.loads(extra['mmbmtas.json'])


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_decisions_are_the_predictions_of_the_package(files, export, trained, tmp_path, suffix):
    path = tmp_path / f'network{suffix}'
    words = ('--postprocess', 'decision', '--tasks', 'depth', 'semseg', '--verify')
    free = ('--dynamic',) if suffix == '.ts' else ('--shape', 37, 53)
    export(*files, '-o', path, *words, *free)
    module, description = load(path)
    assert description == json.loads(path.with_name(f'{path.name}.json').read_text())
    assert [*description['tasks']] == ['depth', 'semseg']
    for shape in ((37, 53), (5, 3))[: 1 + (suffix == '.ts')]:
        image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
        with torch.no_grad():
            depth, semseg = module(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))
        (expected,) = trained(image[..., ::-1])['predictions']
        assert semseg.dtype == torch.uint8
        assert description['tasks']['semseg']['type'] == 'uint8'
        assert np.mean(semseg[0, 0].numpy() == expected['semseg']) > 0.999
        found = depth[0, 0].numpy()
        np.testing.assert_allclose(found, expected['depth'], rtol=0, atol=1e-4 * abs(found).max())


def size_of(exported):
    """Numbers in the weights of a program; bytes of a script, which has them in its code."""
    if exported.suffix == '.ts':
        return len(exported.content)
    program = torch.export.load(io.BytesIO(exported.content))
    return sum(weight.numel() for weight in program.state_dict.values())


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_normalisations_are_folded_and_other_tasks_left_out(toys, build_network, suffix):
    tree = toys.random_tree(('semseg', 'depth'), toys.TINY)
    network = build_network(toys.branched_config(tree.tasks, toys.TINY, tree))
    alone = build_network(toys.branched_config(['depth'], toys.TINY, tree.for_tasks(['depth'])))
    one, of_one, whole = (
        deploy.export_network(source, {}, tasks, suffix=suffix)
        for source, tasks in ((network, ['depth']), (alone, None), (network, None))
    )
    assert size_of(one) == pytest.approx(size_of(of_one), rel=0.02)
    assert size_of(one) < 0.9 * size_of(whole)
    content = io.BytesIO(whole.content)
    module = torch.jit.load(content) if suffix == '.ts' else torch.export.load(content)
    operators = str(module.inlined_graph if suffix == '.ts' else module.graph)
    assert 'conv' in operators
    assert 'batch_norm' not in operators


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_a_file_that_differs_is_refused(files, export, tmp_path, differs, suffix):
    with pytest.raises(ValueError, match='differs from the trained one: depth by'):
        export(*files, '-o', tmp_path / f'a{suffix}', '--tasks', 'semseg', 'depth', '--verify')
    assert not [*tmp_path.iterdir()]


def test_what_a_format_lacks(files, export, tmp_path):
    with pytest.raises(ValueError, match=r'leave --dynamic out, or write \.onnx or \.ts'):
        export(*files, '-o', tmp_path / 'a.pt2', '--dynamic')
    for words in (['--fp16'], ['--int8', tmp_path]):
        with pytest.raises(ValueError, match=rf'{words[0]} is for ONNX files'):
            export('lost.py', 'lost.pth', '-o', tmp_path / 'a.ts', *words)
    with pytest.raises(ValueError, match=r'one of \.onnx \(ONNX\), \.pt2 .*, \.ts \(TorchScript'):
        export('lost.py', 'lost.pth', '-o', tmp_path / 'a.pth')
    assert not [*tmp_path.iterdir()]


def test_files_of_torch_are_not_run(monkeypatch, tmp_path, capsys):
    """To load a program is to run its code, and a stranger may have written it."""
    (tmp_path / 'network.pt2').write_bytes(b'whatever')
    words = ['infer.py', tmp_path / 'network.pt2', 'a.jpg', '-o', tmp_path / 'out']
    monkeypatch.setattr(sys, 'argv', [*map(str, words)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / 'tools' / 'infer.py'), run_name='__main__')
    assert 'may hold code, so it is not run here: name the .onnx file' in capsys.readouterr().err
