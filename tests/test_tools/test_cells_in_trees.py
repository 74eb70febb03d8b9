"""A search of trees whose context module is a dense prediction cell, to the end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbmtas.errors import MissingFileError
from mmbmtas.launch import launch
from mmbmtas.launch.tree_config import read_tree_config
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.structures import BranchedArchitecture

ROOT = Path(__file__).parents[2]
CELL = [
    {'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [1, 2]},
    {'input': 0, 'op': 'pyramid_pooling', 'grid_size': [2, 3]},
    {'input': -1, 'op': 'conv', 'kernel': 1},
]


@pytest.mark.slow
def test_search_export_retrain_test_infer(tool, scenes_roots):
    Path('cell.json').write_text(json.dumps(CELL))
    common = [
        f'data_root={scenes_roots["pascal"]}',
        'tasks=[semseg,edge]',
        'total_batch_size=2',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        'model.backbone.encoder.context.type=DensePredictionCell',
        'model.backbone.encoder.context.cell=cell.json',
    ]
    search = [*common, 'weight_iters=30', 'train_cfg.warmup_iters=4']
    tool(
        'train.py',
        ROOT / 'configs/search_scenes.py',
        '--work-dir',
        'search',
        '--cfg-options',
        *search,
    )
    tree = BranchedArchitecture.load('search/architecture.json')
    assert tree.encoder['context'] == {'type': 'DensePredictionCell', 'cell': CELL}
    checkpoint = next(Path('search').glob('*.pth'))
    tool('export_architecture.py', checkpoint, '-o', 'tree.json')
    assert BranchedArchitecture.load('tree.json').encoder == tree.encoder

    options = [*common, 'architecture=tree.json', 'max_iters=10', 'train_cfg.val_interval=10']
    config = ROOT / 'configs/branched_scenes.py'
    tool('train.py', config, '--work-dir', 'retrain', '--cfg-options', *options)
    words = ['--work-dir', 'test', '--out', 'metrics.json', '--cfg-options', *options]
    tool('test.py', config, 'retrain/iter_10.pth', *words)
    assert 0 <= json.loads(Path('metrics.json').read_text())['semseg/mIoU'] <= 100
    photo = next((scenes_roots['pascal'] / 'JPEGImages').glob('*.jpg'))
    with pytest.raises(SystemExit) as ended:
        tool(
            'infer.py', config, 'retrain/iter_10.pth', photo, '-o', 'out', '--cfg-options', *options
        )
    assert not ended.value.code
    assert (Path('out/semseg') / f'{photo.stem}.png').is_file()


def test_costs_of_the_found_cell():
    """ResNet-50 on PASCAL-Context with the found cell for ASPP: the specification's figures."""
    with torch.device('meta'):  # only shapes count
        config = read_tree_config(str(ROOT / 'configs/branched_pascal_r50_dpc.py'))
    assert config.cost.single().madds == 274_818_138_112
    assert config.cost.shared().madds == 140_436_832_256


def test_a_cell_file_is_looked_for_beside_the_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = launch.read_config(str(ROOT / 'configs/branched_scenes_dpc.py'))
    cell = Path(cfg.model.backbone.encoder.context.cell)
    assert cell == ROOT / 'configs/cells/dpc_cityscapes.json'
    options = {'model.backbone.encoder.context.cell': 'nowhere.json'}
    with pytest.raises(MissingFileError, match=r'cell file nowhere.json not found here'):
        launch.read_config(str(ROOT / 'configs/branched_scenes_dpc.py'), options)


@pytest.mark.slow
def test_onnx(tmp_path):
    """The exported network computes what the network does."""
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    encoder = {
        'type': 'MobileNetV2Encoder',
        'widen_factor': 0.25,
        'context_channels': 8,
        'context': {'type': 'DensePredictionCell', 'cell': CELL},
    }
    tree = BranchedArchitecture.shared(['semseg'], encoder, 18)
    network = BranchedNetwork(tree, task='semseg').eval()
    image, path = torch.rand(1, 3, 112, 80), tmp_path / 'network.onnx'
    torch.onnx.export(network, (image,), path, dynamo=True, verbose=False)
    session = runtime.InferenceSession(str(path))
    found = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    for one, other in zip(found, network(image), strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), atol=1e-5)
