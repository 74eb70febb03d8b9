"""A small network on photographs: sizes, files, errors, and agreement with the test loop."""

import importlib.util
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image

from mmbmtas.apis import MultiTaskInferencer, read_photo
from mmbmtas.registry import DATASETS

ROOT = Path(__file__).parents[2]
META = {
    'classes': {'semseg': [f'thing {i}' for i in range(21)]},
    'palette': {'semseg': [(i, 2 * i, 3 * i) for i in range(21)]},
    'tasks': ('semseg',),
}


@pytest.fixture(scope='module')
def files(toys, pascal_root, tmp_path_factory):
    """Config and checkpoint of a small network of six tasks."""
    folder = tmp_path_factory.mktemp('network')
    model = {
        **toys.branched_config(toys.SIX),
        'backbone': {'type': 'BranchedNetwork'},
        'data_preprocessor': {
            'type': 'mmengine.ImgDataPreprocessor',
            'mean': [127.5] * 3,
            'std': [127.5] * 3,
            'bgr_to_rgb': True,
        },
    }
    pipeline = [
        {'type': 'LoadSampleImage'},
        {'type': 'LoadPascalContextLabels'},
        {'type': 'DeriveEdges', 'method': 'boundary', 'keep_label_map': True},
        {'type': 'PadToSize', 'divisor': 16, 'pad_labels': False},
        {'type': 'IgnoreEmptyParts'},
        {'type': 'PackMultiTaskInputs'},
    ]
    dataset = {
        'type': 'PascalContextMT',
        'data_root': str(pascal_root),
        'pipeline': pipeline,
        'cache': None,
    }
    config = folder / 'config.py'
    toys.random_tree(toys.SIX).save(folder / 'tree.json')
    toys.random_tree(toys.SIX, seed=5).save(folder / 'other.json')
    loader = {'dataset': {'type': 'ConcatDataset', 'datasets': [dataset]}}
    Config(
        {
            'default_scope': 'mmbmtas',
            'model': model,
            'architecture': 'tree.json',  # found beside the config
            'test_dataloader': loader,
            'pretrained': 'weights that a checkpoint makes needless.pth',
        }
    ).dump(config)
    network = toys.build(toys.branched_config(toys.SIX))
    toys.randomise(network)
    state = {'state_dict': network.state_dict(), 'meta': {'dataset_meta': META}}
    torch.save(state, folder / 'weights.pth')
    return config, folder / 'weights.pth'


@pytest.fixture(scope='module')
def infer(files):
    return MultiTaskInferencer(*files, device='cpu')


@pytest.fixture(scope='module')
def photo():
    """A real photograph, by path: the package that brings it is not imported."""
    spec = importlib.util.find_spec('skimage')
    return Path(spec.origin).parent / 'data' / 'astronaut.png'


@pytest.fixture
def small(photo, tmp_path):
    """The photograph at a size that is no multiple of the stride."""
    path = tmp_path / 'small.png'
    Image.open(photo).resize((75, 50)).save(path)
    return path


def test_a_real_photograph(infer, photo, tmp_path):
    results = infer(photo, out_dir=tmp_path, return_vis=True)
    (arrays,) = results['predictions']
    assert {task: (str(a.dtype), *a.shape) for task, a in arrays.items()} == {
        'semseg': ('uint8', 512, 512),
        'human_parts': ('uint8', 512, 512),
        'saliency': ('float32', 512, 512),
        'normals': ('float32', 512, 512, 3),
        'edge': ('float32', 512, 512),
        'depth': ('float32', 512, 512),
    }
    np.testing.assert_allclose(np.linalg.norm(arrays['normals'], axis=-1), 1, atol=1e-5)
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / 'sheets/astronaut.png')), results['visualization'][0]
    )
    classes = Image.open(tmp_path / 'semseg/astronaut.png')
    assert classes.mode == 'P'
    assert np.array_equal(np.asarray(classes), arrays['semseg'])
    assert classes.getpalette()[3 * 7 : 3 * 8] == [7, 14, 21]
    edges = np.asarray(Image.open(tmp_path / 'edge/astronaut.png'))
    assert np.array_equal(edges, (arrays['edge'] * 255).astype(np.uint8))
    for task in ('normals', 'depth'):
        assert np.array_equal(np.load(tmp_path / task / 'astronaut.npy'), arrays[task])


def test_predictions_are_those_of_the_test_loop(infer, files):
    """An image without labels goes the way of the data set's."""
    dataset = DATASETS.build(Config.fromfile(files[0]).test_dataloader.dataset)
    item = dataset[0]
    path = item['data_samples'].img_path
    with torch.no_grad():
        (expected,) = infer.model.test_step(pseudo_collate([item]))
    arrays = infer(path)['predictions'][0]
    assert np.array_equal(arrays['semseg'], expected.pred_semseg.data[0])
    assert np.array_equal(arrays['depth'], expected.pred_depth.data[0])


@pytest.mark.parametrize('shape', [(1, 1), (5, 3), (16, 16), (17, 40), (90, 8)])
def test_any_size(infer, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    arrays = infer(image)['predictions'][0]
    assert {array.shape[:2] for array in arrays.values()} == {shape}
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_arrays_are_bgr_and_folders_are_opened(infer, small):
    by_path = infer(small)['predictions'][0]
    by_array = infer(read_photo(small))['predictions'][0]
    by_folder = infer([str(small.parent)])['predictions'][0]
    for task, array in by_path.items():
        assert np.array_equal(array, by_array[task])
        assert np.array_equal(array, by_folder[task])


def test_faster_ways_predict_the_same(infer, files, small):
    fast = MultiTaskInferencer(*files, 'cpu', fuse_conv_bn=True, channels_last=True)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in fast.model.modules())
    found, expected = (f(small)['predictions'][0] for f in (fast, infer))
    for task in ('normals', 'depth', 'saliency'):
        scale = np.abs(expected[task]).max()
        assert np.allclose(found[task], expected[task], rtol=0, atol=1e-4 * scale)
    assert np.mean(found['semseg'] == expected['semseg']) > 0.999


def test_unreadable_images_do_not_end_the_others(infer, small, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(small.read_bytes()[:2000])
    results = infer([broken, small, tmp_path / 'lost.png'], out_dir=tmp_path / 'out')
    assert [p is None for p in results['predictions']] == [True, False, True]
    assert f'{broken}: expected a readable image' in results['errors'][0]
    assert 'lost.png is not an image file' in results['errors'][2]
    assert (tmp_path / 'out/sheets/small.png').is_file()
    with pytest.raises(ValueError, match=r'broken\.png: expected a readable image'):
        infer(broken)


def test_files_that_do_not_fit(files):
    config, checkpoint = files
    with pytest.raises(FileNotFoundError, match=r'lost\.pth is not a checkpoint file'):
        MultiTaskInferencer(config, 'lost.pth')
    with pytest.raises(FileNotFoundError, match=r'lost\.py is not a config file'):
        MultiTaskInferencer('lost.py', checkpoint)
    for options, message in (
        ({'model.decode_heads.semseg.num_classes': 3}, 'does not fit the model'),
        ({'architecture': 'other.json'}, 'another tree than the config'),
        ({'architecture': 'lost.json'}, 'lost.json not found'),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            MultiTaskInferencer(config, checkpoint, cfg_options=options)
    cfg = Config.fromfile(config)
    plain = Config({'model': {'type': 'EncoderDecoder'}})
    with pytest.raises(ValueError, match='for a EncoderDecoder: expected the config of a multi'):
        MultiTaskInferencer(plain, checkpoint)
    cfg.model.backbone.task = 'depth'
    with pytest.raises(ValueError, match='the backbone is for the tasks'):
        MultiTaskInferencer(cfg, checkpoint)


def test_the_tree_comes_from_the_checkpoint(files, toys):
    config, checkpoint = files
    cfg = Config.fromfile(config)
    cfg.architecture = str(config.parent / 'other.json')
    network = MultiTaskInferencer(cfg, checkpoint, device='cpu').model.backbone
    assert network.architecture == toys.random_tree(toys.SIX)


def test_command_line(files, small, tmp_path, monkeypatch, capsys):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(small.read_bytes()[:2000])
    out = tmp_path / 'out'
    words = ['infer.py', *files, broken, small, '-o', out, '--device', 'cpu', '--fuse-conv-bn']
    monkeypatch.setattr(sys, 'argv', [*map(str, words)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / 'tools/infer.py'), run_name='__main__')
    assert caught.value.code == 1
    captured = capsys.readouterr()
    assert f'error: {broken}: expected a readable image' in captured.err
    assert f'1 of 2 images predicted in {out}' in captured.out
    assert (out / 'depth/small.npy').is_file()
