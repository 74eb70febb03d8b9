"""Configs whose types are classes, as in mmengine's newer style, work as those of names do."""

import mmengine.registry
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import Registry, init_default_scope

from mmbmtas import launch
from mmbmtas import registry as ours
from mmbmtas.engine.optimizers import JacobianOptimWrapper
from mmbmtas.launch.ranks import _replace_sync_bn
from mmbmtas.models.backbones.pretrained import init_encoder
from mmbmtas.registry import MODELS, find_type, is_type, takes

REGISTRIES = [value for value in vars(ours).values() if isinstance(value, Registry)]
REGISTRIES += [mmengine.registry.WEIGHT_INITIALIZERS]


def with_classes(node):
    """Put the class for every ``type`` of a config."""
    if isinstance(node, dict):
        new = {key: with_classes(value) for key, value in node.items()}
        if isinstance(new.get('type'), str):
            found = (find_type(registry, new['type']) for registry in REGISTRIES)
            new['type'] = next(filter(None, found), new['type'])
            assert not isinstance(new['type'], str), new['type']
        return new
    return [with_classes(value) for value in node] if isinstance(node, list | tuple) else node


@pytest.fixture(params=['search_scenes.py', 'branched_scenes.py', 'exchange/mtan_scenes.py'])
def pair(request, pytestconfig):
    """A config with names and with classes, as they are before launch."""
    path = pytestconfig.rootpath / 'configs' / request.param
    named = Config.fromfile(path)
    classes = {key: with_classes(value) for key, value in named.to_dict().items()}
    classes['launcher'] = named.launcher = 'none'
    return named, Config(classes, filename=str(path))


@pytest.mark.parametrize('options', [{}, {'tasks': ['edge', 'semseg'], 'data_root': 'elsewhere'}])
def test_they_are_settled_alike(pair, options):
    if 'tasks' in options and pair[0].get('architecture'):
        options = {'data_root': 'elsewhere'}  # its tree has all tasks
    for cfg in pair:
        launch.override(cfg, options)
        launch.prepare_config(cfg)
    named, classes = pair
    init_default_scope('mmbmtas')
    launch.use_amp(named)
    launch.use_amp(classes)
    for name in ('model', 'train_dataloader', 'test_dataloader', 'test_evaluator', 'train_cfg'):
        assert with_classes(named[name]) == with_classes(classes[name]), name
    kinds = [cfg.optim_wrapper.get('weights', cfg.optim_wrapper).type for cfg in pair]
    assert kinds[0] == kinds[1] == 'CpuAmpOptimWrapper'
    if options:
        return
    with torch.device('meta'):
        built = [MODELS.build(cfg.model) for cfg in pair]
    assert built[0].tasks == built[1].tasks
    shapes = [{key: p.shape for key, p in model.named_parameters()} for model in built]
    assert shapes[0] == shapes[1]


def test_wrappers_of_mixed_precision():
    for kind, expected in (
        (OptimWrapper, 'CpuAmpOptimWrapper'),
        (AmpOptimWrapper, 'CpuAmpOptimWrapper'),
        (JacobianOptimWrapper, 'CpuAmpJacobianOptimWrapper'),
        ('mmengine.OptimWrapper', 'CpuAmpOptimWrapper'),
    ):
        cfg = Config({'optim_wrapper': {'optimizer': {}}})
        cfg.optim_wrapper.type = kind
        launch.use_amp(cfg)
        assert cfg.optim_wrapper.type == expected

    class Own(OptimWrapper):
        pass

    cfg.optim_wrapper.type = Own
    with pytest.raises(ValueError, match='JacobianOptimWrapper, not Own'):
        launch.use_amp(cfg)


def test_an_encoder_of_no_registry_is_refused(toys):
    from mmbmtas.encoders import MobileNetV2Encoder, build_encoder

    class Own(MobileNetV2Encoder):
        pass

    named, classes = (
        build_encoder({'type': kind}) for kind in ('MobileNetV2Encoder', MobileNetV2Encoder)
    )
    assert named.to_config() == classes.to_config()
    for kind in (Own, torch.nn.Conv2d):
        with pytest.raises(ValueError, match=r'encoder type .*expected one of'):
            build_encoder({'type': kind})


def test_synchronised_normalisation_is_replaced():
    cfg = {'a': [{'type': torch.nn.SyncBatchNorm}, {'type': 'SyncBN'}, {'type': torch.nn.SiLU}]}
    _replace_sync_bn(cfg)
    assert cfg == {'a': [{'type': 'BN'}, {'type': 'BN'}, {'type': torch.nn.SiLU}]}


def test_pretrained_weights(toys):
    from mmengine.model import PretrainedInit

    from mmbmtas.encoders import build_encoder

    encoder = build_encoder(toys.MOBILENET)
    for kind in ('Pretrained', PretrainedInit):
        with pytest.raises(FileNotFoundError, match=r'lost\.pth'):
            init_encoder(
                encoder, encoder.build_stem(), [], {'type': kind, 'checkpoint': 'lost.pth'}
            )


def test_names_and_classes_are_the_same_type():
    from mmcv.transforms import LoadImageFromFile

    from mmbmtas.datasets import PascalContextMT
    from mmbmtas.registry import DATASETS, TRANSFORMS

    for kind in ('PascalContextMT', 'mmbmtas.PascalContextMT', PascalContextMT):
        assert find_type(DATASETS, kind) is PascalContextMT
        assert takes(DATASETS, {'type': kind}, 'tasks')
        assert not takes(DATASETS, {'type': kind}, 'nonsense')
    assert find_type(DATASETS, 'NoSuchSet') is None
    assert is_type(TRANSFORMS, 'mmcv.LoadImageFromFile', LoadImageFromFile)
    assert not is_type(TRANSFORMS, 'PadToSize', LoadImageFromFile)
    assert takes(MODELS, {'type': 'NDDRCNN'}, 'init_cfg')  # of its base, by **kwargs
    assert not takes(MODELS, {'type': 'BranchedNetwork'}, 'tasks')
