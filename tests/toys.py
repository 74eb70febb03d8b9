"""Small networks and batches for the tests of models and engine."""

import copy
import types

import numpy as np
import torch
from mmcv.cnn import ConvModule
from mmengine.structures import LabelData, PixelData
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.encoders import build_encoder
from mmbmtas.encoders.base import Encoder
from mmbmtas.models.backbones import BranchedNetwork, BranchedSupernet
from mmbmtas.registry import MODELS, TASK_UTILS
from mmbmtas.structures import BranchedArchitecture, PathArchitecture
from mmbmtas.structures.data_sample import MultiTaskDataSample

MOBILENET = {'type': 'MobileNetV2Encoder', 'widen_factor': 0.25, 'context_channels': 8}
RESNET = {'type': 'ResNetEncoder', 'depth': 18, 'context_channels': 8}
TINY = {'type': 'TinyEncoder'}
CHANNELS = {'MobileNetV2Encoder': [8, 8], 'ResNetEncoder': [64, 8], 'TinyEncoder': [4, 4]}
NUM_LAYERS = {'MobileNetV2Encoder': 18, 'ResNetEncoder': 9, 'TinyEncoder': 3}
SIX = ('semseg', 'human_parts', 'saliency', 'normals', 'edge', 'depth')

_HEADS = {
    'semseg': (21, 'classes', {'type': 'mmseg.CrossEntropyLoss', 'avg_non_ignore': True}),
    'human_parts': (7, 'classes', {'type': 'mmseg.CrossEntropyLoss', 'avg_non_ignore': True}),
    'saliency': (1, 'probability', {'type': 'mmbmtas.BalancedBCELoss'}),
    'normals': (3, 'normals', {'type': 'mmbmtas.NormalsL1Loss'}),
    'edge': (1, 'probability', {'type': 'mmbmtas.BalancedBCELoss', 'positive_weight': 0.95}),
    'depth': (1, 'value', {'type': 'mmbmtas.DepthL1Loss'}),
}


@TASK_UTILS.register_module(force=True)
class TinyEncoder(Encoder):
    """Three convolutions, for tests of what goes on around a network."""

    layer_names = ('stage1.0', 'stage1.1', 'context')
    norm_cfg = types.MappingProxyType({'type': 'BN'})
    stem_channels = low_level_channels = context_channels = 4
    low_level_index = 0

    def build_stem(self):
        return ConvModule(3, 4, 3, stride=4, padding=1, norm_cfg={'type': 'BN'})

    def build_layer(self, index, dropout=0.0):
        conv = ConvModule(4, 4, 3, padding=1, norm_cfg={'type': 'BN'})
        return nn.Sequential(nn.Dropout(dropout if index == 2 else 0.0), conv)

    def last_norm(self, layer):
        return layer[1].bn

    def translate(self, key):
        raise KeyError(key)

    def to_config(self):
        return TINY


def head(task, encoder=MOBILENET):
    """Config of a narrow decoder; tasks out of the table are classes."""
    num_classes, output, loss = _HEADS.get(task, _HEADS['human_parts'])
    return {
        'type': 'DeepLabV3PlusHead',
        'in_channels': CHANNELS[encoder['type']],
        'channels': 8,
        'low_level_channels': 4,
        'separable': True,
        'num_classes': num_classes,
        'target_key': f'gt_{task}',
        'output': output,
        'loss_decode': loss,
    }


def random_tree(tasks, encoder=MOBILENET, seed=0):
    """A random tree; tasks stay together long enough for branches in the middle."""
    return BranchedArchitecture.from_routing(
        tasks, encoder, random_routing(tasks, NUM_LAYERS[encoder['type']], seed)
    )


def random_routing(tasks, num_layers, seed=0):
    """Candidates of each task in each layer, mostly the same one."""
    rng = np.random.default_rng(seed)
    common = rng.integers(len(tasks), size=num_layers)
    own = rng.integers(len(tasks), size=(len(tasks), num_layers))
    stray = rng.random((len(tasks), num_layers)) < 0.15
    return dict(zip(tasks, np.where(stray, own, common).tolist(), strict=True))


def route(supernet, routing):
    """Make a routing the most probable one."""
    with torch.no_grad():
        supernet.arch_params.normal_()
        for task, candidates in routing.items():
            for layer, candidate in enumerate(candidates):
                supernet.arch_params[layer, supernet.tasks.index(task), candidate] += 10


def randomise(module, seed=0):
    """Give every parameter and running statistic a value that no initialisation has."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, _BatchNorm):
                child.running_mean.normal_(0, 0.1, generator=generator)
                child.running_var.uniform_(0.5, 2, generator=generator)
                if child.affine:
                    child.weight.uniform_(0.5, 1.5, generator=generator)
                    child.bias.normal_(0, 0.1, generator=generator)


def supernet(tasks, encoder=MOBILENET, **options):
    return BranchedSupernet(tasks, encoder, **options)


def network(tree, **options):
    return BranchedNetwork(tree, **options)


def branched_config(tasks, encoder=MOBILENET, tree=None, heads=None):
    """Config of a multi-task network; the tree is random unless given."""
    tree = tree or random_tree(tasks, encoder)
    return {
        'type': 'MultiTaskEncoderDecoder',
        'backbone': {'type': 'BranchedNetwork', 'architecture': tree.to_dict()},
        'decode_heads': heads or {task: head(task, encoder) for task in tasks},
        'cost_shape': (64, 64),
    }


def exchange_config(method, tasks, encoder=MOBILENET, **options):
    """Config of a multi-task network whose encoders exchange features by a method."""
    return {
        'type': 'MultiTaskEncoderDecoder',
        'backbone': {'type': method, 'tasks': [*tasks], 'encoder': encoder, **options},
        'decode_heads': {task: head(task, encoder) for task in tasks},
        'cost_shape': (64, 64),
    }


def search_config(tasks, encoder=MOBILENET, heads=None, **resource):
    """Config of a network to be searched."""
    return {
        'type': 'SearchEncoderDecoder',
        'backbone': {'type': 'BranchedSupernet', 'tasks': list(tasks), 'encoder': encoder},
        'decode_heads': heads or {task: head(task, encoder) for task in tasks},
        'resource_loss': {'type': 'ResourceLoss', **resource},
        'cost_shape': (64, 64),
    }


def latency_table(tasks, encoder=MOBILENET, shape=(64, 64)):
    """A document of measured times in which more copies of a layer are cheaper by the piece."""
    copies = np.arange(1, len(tasks) + 1)
    layers = [(1 + layer / 10) * copies**0.7 for layer in range(NUM_LAYERS[encoder['type']])]
    return {
        'format': 'mmbmtas.latency',
        'version': 1,
        'tasks': [*tasks],
        'encoder': encoder,
        'shape': [*shape],
        'stem_ms': 0.5,
        'layers_ms': [row.round(3).tolist() for row in layers],
        'decoders_ms': {task: 2.0 + index for index, task in enumerate(tasks)},
        'measured': None,
    }


def build(config):
    return MODELS.build(copy.deepcopy(config))


def label(task, size=(64, 64), seed=0):
    """A label map with ignored pixels in its first row."""
    rng = np.random.default_rng(seed)
    if task == 'normals':
        values = rng.normal(size=(3, *size))
        values = (values / np.linalg.norm(values, axis=0)).astype(np.float32)
    elif task == 'depth':
        values = rng.uniform(0.7, 10, (1, *size)).astype(np.float32)
    else:
        values = rng.integers(_HEADS.get(task, _HEADS['human_parts'])[0] + 1, size=(1, *size))
        values = np.minimum(values, 1 if task in ('saliency', 'edge') else 6)
    values[:, 0] = 0 if task in ('normals', 'depth') else 255
    return torch.from_numpy(values)


def sample(tasks, size=(64, 64), seed=0, **metainfo):
    """A data sample with labels of some tasks."""
    result = MultiTaskDataSample(metainfo={'img_shape': size, 'ori_shape': size, **metainfo})
    for task in tasks:
        result.set_data({f'gt_{task}': PixelData(data=label(task, size, seed))})
    return result


def batch(tasks, size=(64, 64), count=2, seed=0):
    """Images and their samples."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, *size, generator=generator)
    return images, [sample(tasks, size, seed + index) for index in range(count)]


PATHS = {
    'type': 'MobileNetV3PathEncoder',
    'widen_factor': 0.5,
    'kernels': [3, 5],
    'expansions': [1, 2],
    'squeezes': [False, True],
    'per_block': 1,
    'context_channels': 16,
}
"""Five layers with eight candidates each."""


def random_paths(domains, encoder=PATHS, seed=0):
    """A random path of each domain."""
    built = build_encoder(encoder)
    candidates = [built.candidates(index) for index in range(built.num_searched)]
    rng = np.random.default_rng(seed)
    routing = {
        domain: [int(rng.integers(len(layer))) for layer in candidates] for domain in domains
    }
    return PathArchitecture.from_routing(
        tuple(domains), built.to_config(), routing, candidates=candidates
    )


def domain_heads(tasks, encoder=PATHS, num_classes=3):
    """Decoders of domains: maps for the tasks that are known, else labels of whole images."""
    built = build_encoder(encoder)
    channels = [built.low_level_channels, built.context_channels]
    return {
        task: {**head(task), 'in_channels': channels}
        if task in _HEADS
        else {
            'type': 'LabelHead',
            'in_channels': channels,
            'channels': 8,
            'num_classes': num_classes,
            'target_key': f'gt_{task}',
        }
        for task in tasks
    }


def _all_tasks(domains):
    return [*domains] if not isinstance(domains, dict) else [t for d in domains.values() for t in d]


def path_config(domains, encoder=PATHS, **options):
    """Config of a network of random paths."""
    return {
        'type': 'DomainEncoderDecoder',
        'backbone': {
            'type': 'PathNetwork',
            'architecture': random_paths([*domains], encoder).to_dict(),
            'domains': domains,
            **options,
        },
        'decode_heads': domain_heads(_all_tasks(domains), encoder),
        'cost_shape': (64, 64),
    }


def path_search_config(domains, encoder=PATHS, **options):
    """Config of a network whose paths are searched."""
    return {
        'type': 'PathSearchEncoderDecoder',
        'backbone': {'type': 'PathSupernet', 'domains': domains, 'encoder': encoder, **options},
        'decode_heads': domain_heads(_all_tasks(domains), encoder),
        'cost_shape': (64, 64),
    }


def domain_batch(domains, size=(64, 64), count=2, seed=0, num_classes=3):
    """Images and samples of all domains, ``count`` each, one domain after another by turns."""
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    named = domains if isinstance(domains, dict) else {domain: [domain] for domain in domains}
    samples = []
    for index in range(count):
        for domain, tasks in named.items():
            found = sample([t for t in tasks if t in _HEADS], size, seed + index, domain=domain)
            for task in tasks:
                if task not in _HEADS:
                    label = torch.tensor([int(rng.integers(num_classes))])
                    found.set_data({f'gt_{task}': LabelData(label=label)})
            samples.append(found)
    return torch.randn(len(samples), 3, *size, generator=generator), samples
