"""What an exported file computes and says, on small networks of every kind."""

import numpy as np
import pytest
import torch
from packaging.version import Version

from mmbmtas import deploy

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
TWO = ('semseg', 'normals')


def run(exported, images):
    """The outputs for RGB images ``(N, H, W, 3)``, by ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(exported.content)
    names = [output.name for output in session.get_outputs()]
    found = session.run(None, {'image': images.transpose(0, 3, 1, 2)})
    return dict(zip(names, found, strict=True))


def draw(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def normalise(images):
    """By hand what the preprocessor of the fixtures does, in double precision."""
    mean, std = torch.tensor([123.0, 116, 103]), torch.tensor([58.0, 57, 56])
    return ((torch.from_numpy(images).double() - mean) / std).permute(0, 3, 1, 2)


def weights_of(exported):
    graph = onnx.load_from_string(exported.content).graph
    return sum(int(np.prod(weight.dims)) for weight in graph.initializer)


@pytest.mark.parametrize(
    ('kind', 'encoder'),
    [
        ('tree', 'MOBILENET'),
        ('tree', 'RESNET'),
        ('CrossStitchNetwork', 'TINY'),
        ('NDDRCNN', 'TINY'),
        ('MTAN', 'MOBILENET'),
    ],
)
def test_networks_of_every_kind(toys, build_network, kind, encoder):
    encoder = getattr(toys, encoder)
    config = toys.branched_config(TWO, encoder)
    if kind != 'tree':
        config = toys.exchange_config(kind, TWO, encoder)
    network = build_network(config)
    # torch 2.1 cannot export the pooling of MTAN with sizes that are not fixed.
    dynamic = kind != 'MTAN' or Version(torch.__version__) >= Version('2.5')
    exported = deploy.export_network(network, {}, dynamic=dynamic)
    cost = network.measure_network((64, 64)).madds
    assert exported.description['madds'] == {'shape': [64, 64], 'network': cost}
    operators = {node.op_type for node in onnx.load_from_string(exported.content).graph.node}
    assert 'BatchNormalization' not in operators
    network.double()
    for shape in ((1, 64, 64), (2, 45, 71))[: 1 + dynamic]:
        images = draw(*shape)
        with torch.no_grad():
            expected = network.encode_decode(normalise(images))
        for task, found in run(exported, images).items():
            scale = expected[task].abs().max()
            np.testing.assert_allclose(found / scale, expected[task] / scale, rtol=0, atol=1e-5)


def test_heads_of_mmseg(toys, build_network):
    """Beside ours, on four levels, with an auxiliary head that is left out."""
    config = toys.branched_config(('semseg', 'normals', 'edge'))
    fixed = {'in_index': [0, 1, 2, 3], 'channels': 8, 'norm_cfg': {'type': 'BN'}}
    loss = {'output': 'probability', 'loss_decode': {'type': 'mmbmtas.BalancedBCELoss'}}
    config['decode_heads'] |= {
        'semseg': {'type': 'mmseg.UPerHead', 'num_classes': 21, **fixed},
        'edge': {'type': 'mmseg.SegformerHead', 'num_classes': 1, **loss, **fixed},
    }
    config['auxiliary_heads'] = {'semseg': {'type': 'mmseg.FCNHead', 'channels': 8}}
    network = build_network(config)
    exported = deploy.export_network(network, {}, dynamic=True)
    cost = network.measure_network((64, 64))
    assert exported.description['madds']['network'] == cost.madds
    assert exported.description['tasks']['edge']['output'] == 'probability'
    assert weights_of(exported) < sum(p.numel() for p in network.parameters())
    network.double()
    for shape in ((1, 64, 64), (2, 45, 71)):  # 4 x 4 and 3 x 5 features, pooled to 1, 2, 3 and 6
        images = draw(*shape)
        with torch.no_grad():
            expected = network.encode_decode(normalise(images))
        for task, found in run(exported, images).items():
            scale = expected[task].abs().max()
            np.testing.assert_allclose(found / scale, expected[task] / scale, rtol=0, atol=1e-5)


DOMAINS = {'digits': ['digits'], 'rooms': ['semseg', 'depth'], 'roads': ['edge']}


@pytest.mark.parametrize('statistics', ['domain', 'shared'])
def test_paths_of_all_domains_or_of_one(toys, build_network, statistics):
    network = build_network(toys.path_config(DOMAINS, norm_statistics=statistics))
    exported = deploy.export_network(network, {}, dynamic=True)
    described = exported.description['architecture']
    assert described['sharing'] == 'node'
    assert described['tasks'] == [*DOMAINS]
    cost = network.measure_network((64, 64)).madds
    assert exported.description['madds'] == {'shape': [64, 64], 'network': cost}
    alone = network.for_domain('rooms')
    one = deploy.export_network(alone, {})
    assert one.description['architecture']['tasks'] == ['rooms']
    assert one.description['madds']['network'] == alone.measure_network((64, 64)).madds < cost
    assert weights_of(one) < weights_of(exported)
    some = deploy.export_network(network, {}, ['edge'])
    assert some.description['architecture']['tasks'] == ['roads']
    for export, whose in ((exported, statistics), (one, 'one')):
        operators = {node.op_type for node in onnx.load_from_string(export.content).graph.node}
        # Folded statistics of domains would need a copy of a shared node for each.
        assert ('BatchNormalization' in operators) == (whose == 'domain')
    images = draw(1, 64, 64)
    found, rooms = run(exported, images), run(one, images)
    odd = draw(2, 45, 71)
    found_odd = run(exported, odd)
    assert rooms.keys() == {'semseg', 'depth'}
    network.double()
    with torch.no_grad():
        expected, expected_odd = map(network.encode_decode, map(normalise, (images, odd)))
    for task, value in expected.items():
        scale = value.abs().max()
        np.testing.assert_allclose(found[task] / scale, value / scale, rtol=0, atol=1e-5)
        scale = expected_odd[task].abs().max()
        np.testing.assert_allclose(
            found_odd[task] / scale, expected_odd[task] / scale, rtol=0, atol=1e-5
        )
    for task, value in rooms.items():
        np.testing.assert_allclose(value, found[task], rtol=1e-3, atol=1e-4)


def test_supernets_of_paths_are_refused(toys):
    network = toys.build(toys.path_search_config(['digits', 'faces']))
    with pytest.raises(ValueError, match=r'export_architecture\.py CHECKPOINT'):
        deploy.export_network(network, {})


def test_some_tasks_are_the_network_of_these_tasks(toys, build_network):
    """A tree of three tasks, of which two share the first layer only."""
    tree = toys.random_tree(('semseg', 'normals', 'depth'), toys.TINY)
    network = build_network(toys.branched_config(tree.tasks, toys.TINY, tree))
    kept = ('depth', 'semseg')
    exported = deploy.export_network(network, {}, kept)
    alone = build_network(toys.branched_config(kept, toys.TINY, tree.for_tasks(kept)))
    assert [*exported.description['tasks']] == [*kept]
    assert exported.description['architecture']['tasks'] == [*kept]
    assert exported.description['madds']['network'] == alone.measure_network((64, 64)).madds
    assert weights_of(exported) == weights_of(deploy.export_network(alone, {}))
    whole = deploy.export_network(network, {})
    assert weights_of(exported) < weights_of(whole)
    images = draw(1, 64, 64)
    for task, found in run(exported, images).items():
        assert np.array_equal(found, run(whole, images)[task])


def test_what_a_network_with_exchange_leaves_out_is_not_guessed(toys, build_network):
    network = build_network(toys.exchange_config('CrossStitchNetwork', TWO, toys.TINY))
    exported = deploy.export_network(network, {}, TWO[:1])
    assert exported.description['madds'] is None
    assert weights_of(exported) < weights_of(deploy.export_network(network, {}))


def test_bgr_networks_and_networks_without_normalisation(toys, build_network):
    network = build_network(toys.branched_config(TWO, toys.TINY))
    network.data_preprocessor._channel_conversion = False
    network.data_preprocessor._enable_normalize = False
    images = draw(1, 64, 64)
    x = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).float().permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network.encode_decode(x)
    found = run(deploy.export_network(network, {}), images)
    for task in TWO:
        scale = expected[task].abs().max()
        np.testing.assert_allclose(found[task] / scale, expected[task] / scale, rtol=0, atol=1e-5)


def test_supernets_are_refused(toys):
    network = toys.build(toys.search_config(TWO, toys.TINY))
    with pytest.raises(ValueError, match=r'export_architecture\.py CHECKPOINT'):
        deploy.export_network(network, {})


@pytest.mark.parametrize(
    ('tasks', 'message'),
    [
        (['semseg', 'edge'], r"tasks \['semseg', 'edge'\]: expected different ones out of"),
        (['semseg', 'semseg'], 'expected different ones'),
        ([], 'expected different ones'),
    ],
)
def test_wrong_tasks(toys, build_network, tasks, message):
    network = build_network(toys.branched_config(TWO, toys.TINY))
    with pytest.raises(ValueError, match=message):
        deploy.export_network(network, {}, tasks)


def test_what_torch_cannot_export_is_said_in_a_line(toys, build_network, monkeypatch):
    network = build_network(toys.branched_config(TWO, toys.TINY))
    decoder = network.decode_heads['normals']
    plain = decoder.forward
    monkeypatch.setattr(decoder, 'forward', lambda x: torch.special.bessel_j0(plain(x)))
    with pytest.raises(ValueError, match=r'torch .* cannot export this network: .*bessel_j0'):
        deploy.export_network(network, {})


def test_other_preprocessors_are_refused(toys):
    network = toys.build(toys.branched_config(TWO, toys.TINY))
    with pytest.raises(ValueError, match=r'BaseDataPreprocessor: expected mmengine\.Img'):
        deploy.export_network(network, {})
