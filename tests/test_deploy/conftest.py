"""A small trained network, as config and checkpoint."""

import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmbmtas.apis import MultiTaskInferencer

TASKS = ('semseg', 'saliency', 'normals', 'depth')
META = {
    'classes': {'semseg': [f'thing {i}' for i in range(21)]},
    'palette': {'semseg': [(i, 2 * i, 3 * i) for i in range(21)]},
    'tasks': TASKS,
}
PREPROCESSOR = {
    'type': 'mmengine.ImgDataPreprocessor',
    'mean': [123.0, 116.0, 103.0],
    'std': [58.0, 57.0, 56.0],
    'bgr_to_rgb': True,
}


@pytest.fixture(scope='session')
def build_network(toys):
    """Build a network in evaluation mode whose weights and statistics no initialisation has."""

    def build(config):
        network = toys.build({**config, 'data_preprocessor': PREPROCESSOR}).eval()
        toys.randomise(network)
        return network

    return build


@pytest.fixture(scope='session')
def files(toys, build_network, pascal_root, tmp_path_factory):
    """Config and checkpoint of a tree of four tasks."""
    folder = tmp_path_factory.mktemp('network')
    model = toys.branched_config(TASKS, toys.TINY)
    pipeline = [
        {'type': 'LoadSampleImage'},
        {'type': 'LoadPascalContextLabels'},
        {'type': 'PadToSize', 'divisor': 16, 'pad_labels': False},
        {'type': 'PackMultiTaskInputs'},
    ]
    dataset = {
        'type': 'PascalContextMT',
        'data_root': str(pascal_root),
        'split': 'val',
        'tasks': ['semseg', 'saliency', 'normals'],
        'pipeline': pipeline,
        'cache': None,
    }
    loader = {
        'batch_size': 2,
        'num_workers': 0,
        'dataset': dataset,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
    }
    Config(
        {
            'default_scope': 'mmbmtas',
            'model': {**model, 'data_preprocessor': PREPROCESSOR},
            'test_dataloader': loader,
            'test_evaluator': [
                {'type': 'mmbmtas.SemSegMetric', 'num_classes': 21},
                {'type': 'mmbmtas.SaliencyMetric'},
                {'type': 'mmbmtas.NormalsMetric'},
            ],
            'test_cfg': {'type': 'mmengine.TestLoop'},
        }
    ).dump(folder / 'config.py')
    state = {'state_dict': build_network(model).state_dict(), 'meta': {'dataset_meta': META}}
    torch.save(state, folder / 'weights.pth')
    return folder / 'config.py', folder / 'weights.pth'


@pytest.fixture(scope='session')
def trained(files):
    """The network of these files, in torch; tests must not change it."""
    return MultiTaskInferencer(*files, device='cpu')


@pytest.fixture(scope='session')
def export():
    """Run tools/export_onnx.py on some words."""
    tool = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / 'export_onnx.py'))
    return lambda *words: tool['main']([*map(str, words)])


@pytest.fixture
def differs(monkeypatch):
    """Let the network that a file is compared with have one weight that the file has not."""
    predict = MultiTaskInferencer.predict_maps

    def predict_otherwise(self, image):
        with torch.no_grad():
            self.model.decode_heads['depth'].conv_seg.bias.add_(0.01)
        return predict(self, image)

    monkeypatch.setattr(MultiTaskInferencer, 'predict_maps', predict_otherwise)
