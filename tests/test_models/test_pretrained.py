"""ImageNet checkpoints of mmpretrain and torchvision in every candidate and branch."""

import logging

import pytest
import torch
import torchvision
from mmengine.logging import MMLogger
from mmpretrain.models import MobileNetV2, ResNet

TASKS = ('semseg', 'depth', 'edge')


@pytest.fixture(scope='module')
def sources(toys):
    """Sources by name: encoder config, the model with its weights, and its state dict."""
    torch.manual_seed(0)
    models = {
        'mmpretrain-mobilenet': (toys.MOBILENET, MobileNetV2(0.25), 'backbone.'),
        'torchvision-mobilenet': (
            toys.MOBILENET,
            torchvision.models.mobilenet_v2(width_mult=0.25),
            '',
        ),
        'mmpretrain-resnet': (toys.RESNET, ResNet(18), 'backbone.'),
        'torchvision-resnet': (toys.RESNET, torchvision.models.resnet18(), ''),
    }
    found = {}
    for name, (encoder, model, prefix) in models.items():
        toys.randomise(model)
        state = {prefix + key: value for key, value in model.state_dict().items()}
        if prefix:  # as mmpretrain's classifiers save it
            state |= {'head.fc.weight': torch.rand(2, 2), 'head.fc.bias': torch.rand(2)}
            state = {'state_dict': state, 'meta': {}}
        model.eval()  # mmpretrain's returns nothing
        found[name] = encoder, model, state
    return found


@pytest.fixture(
    params=[
        'mmpretrain-mobilenet',
        'torchvision-mobilenet',
        'mmpretrain-resnet',
        'torchvision-resnet',
    ]
)
def source(request, sources):
    return sources[request.param]


@pytest.fixture
def log(caplog):
    """What goes to mmengine's current logger."""
    logger = MMLogger.get_instance('test_pretrained')
    MMLogger._instance_dict.move_to_end('test_pretrained')
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def save(path, state):
    torch.save(state, path)
    return {'type': 'Pretrained', 'checkpoint': str(path)}


def reference_features(model, images):
    """Outputs of the source's blocks before the first that is dilated differently, by layer."""
    outputs = []
    if hasattr(model, 'features'):
        blocks = [*model.features[1:14]]
    else:
        names = ['layer1', 'layer2', 'layer3', 'layer4', 'layer5'][
            : 5 if 'layer5' in dir(model) else 3
        ]
        blocks = [block for name in names for block in getattr(model, name)]
    hooks = [b.register_forward_hook(lambda _, __, out: outputs.append(out)) for b in blocks]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return outputs


def encoder_features(stem, layers, images, count):
    with torch.no_grad():
        x, outputs = stem(images), []
        for layer in layers[:count]:
            x = layer(x)
            outputs.append(x)
    return outputs


def assert_same(found, expected):
    assert len(found) == len(expected) >= 6
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_every_branch_computes_what_the_source_does(source, toys, tmp_path, log):
    encoder, model, state = source
    init_cfg = save(tmp_path / 'source.pth', state)
    tree = toys.random_tree(TASKS, encoder, seed=3)
    network = toys.network(tree, init_cfg=init_cfg)
    network.init_weights()
    network.eval()
    images = torch.randn(2, 3, 64, 96)
    expected = reference_features(model, images)
    for copy in range(3):
        layers = [branches[min(copy, len(branches) - 1)] for branches in network.layers]
        assert_same(encoder_features(network.stem, layers, images, len(expected)), expected)
    assert [record.levelname for record in log.records] == ['INFO'] * len(log.records)
    assert f'Encoder weights loaded from {tmp_path / "source.pth"}' in log.text


def test_every_candidate_gets_the_weights(source, toys, tmp_path, log):
    encoder, _, state = source
    init_cfg = save(tmp_path / 'source.pth', state)
    supernet = toys.supernet(TASKS, encoder, init_cfg=init_cfg)
    supernet.init_weights()
    network = toys.network(toys.random_tree(TASKS, encoder), init_cfg=init_cfg)
    network.init_weights()
    for key, value in network.stem.state_dict().items():
        assert torch.equal(supernet.stem.state_dict()[key], value)
    for candidates, branches in zip(supernet.layers[:-1], network.layers, strict=False):
        reference = branches[0].state_dict()
        norm = network.encoder.last_norm(branches[0])
        (name,) = [name for name, child in branches[0].named_modules() if child is norm]
        lacking = {f'{name}.weight', f'{name}.bias'}
        for candidate in candidates:
            found = candidate.state_dict()
            assert reference.keys() - found.keys() == lacking
            assert all(torch.equal(found[key], reference[key]) for key in found)
    assert all(record.levelno == logging.INFO for record in log.records)


def test_dilated_blocks_have_the_same_weights_too(source, toys, tmp_path):
    """Their outputs differ from the source's; their parameters are the source's, in order."""
    encoder, model, state = source
    network = toys.network(
        toys.random_tree(['a'], encoder), init_cfg=save(tmp_path / 's.pth', state)
    )
    network.init_weights()
    own = (*network.stem.parameters(), *network.layers[:-1].parameters())
    for found, expected in zip(own, model.parameters(), strict=False):
        assert torch.equal(found, expected)


def test_context_modules_start_alike(source, toys, tmp_path):
    """No checkpoint has them; random ones that differ would not understand one another."""
    encoder, _, state = source
    supernet = toys.supernet(TASKS, encoder, init_cfg=save(tmp_path / 's.pth', state))
    supernet.init_weights()
    first, second, _ = (context.projection.conv.weight for context in supernet.layers[-1])
    assert torch.equal(first, second)
    assert first.std() > 0
    assert supernet.starts_alike()


@pytest.mark.slow
@pytest.mark.parametrize('library', ['mmpretrain', 'torchvision'])
def test_resnet50_and_full_mobilenet(library, toys, tmp_path):
    for encoder, model in (
        (
            {'type': 'ResNetEncoder', 'depth': 50},
            ResNet(50) if library == 'mmpretrain' else torchvision.models.resnet50(),
        ),
        (
            {'type': 'MobileNetV2Encoder'},
            MobileNetV2() if library == 'mmpretrain' else torchvision.models.mobilenet_v2(),
        ),
    ):
        toys.randomise(model)
        init_cfg = save(tmp_path / 'source.pth', model.state_dict())
        num_layers = 17 if 'depth' in encoder else 18
        routing = {'one': [0] * num_layers, 'two': [0, 1] + [1] * (num_layers - 2)}
        tree = toys.BranchedArchitecture.from_routing(['one', 'two'], encoder, routing)
        network = toys.network(tree, init_cfg=init_cfg)
        network.init_weights()
        network.eval()
        images = torch.randn(2, 3, 64, 64)
        model.eval()
        expected = reference_features(model, images)
        for copy in (0, -1):
            layers = [branches[copy] for branches in network.layers]
            assert_same(encoder_features(network.stem, layers, images, len(expected)), expected)
        toys.supernet(['one', 'two'], encoder, init_cfg=init_cfg).init_weights()


@pytest.fixture(params=['network', 'supernet'])
def make(request, toys):
    """Builds a backbone from an init_cfg."""
    if request.param == 'network':
        return lambda encoder, cfg: toys.network(toys.random_tree(TASKS, encoder), init_cfg=cfg)
    return lambda encoder, cfg: toys.supernet(TASKS, encoder, init_cfg=cfg)


class TestMisfits:
    @pytest.fixture
    def spoil(self, source, tmp_path):
        """Saves the source's state dict with a change; returns its init_cfg."""

        def write(change):
            state = dict(source[2].get('state_dict', source[2]))
            change(state)
            return save(tmp_path / 'source.pth', state)

        return write

    @staticmethod
    def backbone_keys(state):
        return [k for k in state if not k.startswith(('head.', 'fc.', 'classifier.'))]

    def check(self, make, source, init_cfg, *words):
        with pytest.raises(ValueError, match='does not fit the encoder') as caught:
            make(source[0], init_cfg).init_weights()
        for word in (init_cfg['checkpoint'], *words):
            assert word in str(caught.value)

    def test_an_extra_key(self, make, source, spoil):
        init_cfg = spoil(lambda state: state.update({'layer9.extra': torch.rand(3)}))
        self.check(make, source, init_cfg, '(1 problems', 'no place for layer9.extra')

    def test_an_extra_key_inside_a_block(self, make, source, spoil):
        def add(state):
            first = next(k for k in state if 'layer2.0.' in k or 'features.2.' in k)
            prefix = first[: first.index('.', first.index('2.') + 2) + 1]
            state[
                f'{prefix}conv.0.conv.extra' if 'layer' in prefix else f'{prefix}conv.0.0.extra'
            ] = torch.rand(1)

        self.check(make, source, spoil(add), '(1 problems', 'no place for')

    def test_a_missing_key(self, make, source, spoil):
        init_cfg = spoil(lambda state: state.pop(self.backbone_keys(state)[0]))
        self.check(make, source, init_cfg, '(1 problems', 'left random: stem.')

    def test_missing_running_statistics(self, make, source, spoil):
        def drop(state):
            del state[next(k for k in self.backbone_keys(state) if k.endswith('running_var'))]

        self.check(make, source, spoil(drop), '(1 problems', 'left random: stem.')

    def test_another_shape(self, make, source, spoil):
        def widen(state):
            key = self.backbone_keys(state)[0]
            state[key] = torch.rand(1, *state[key].shape[1:])

        self.check(make, source, spoil(widen), '(1 problems', 'has shape (1, 3,', 'expected (')

    def test_another_backbone_altogether(self, make, source, tmp_path):
        init_cfg = save(tmp_path / 'other.pth', {'blocks.0.attn.qkv.weight': torch.rand(3, 3)})
        self.check(
            make, source, init_cfg, 'no place for blocks.0.attn', 'left random: stem.', ' more'
        )

    def test_goes_on_when_told_to(self, make, source, spoil, log):
        init_cfg = spoil(lambda state: state.pop(self.backbone_keys(state)[0]))
        make(source[0], {**init_cfg, 'strict': False}).init_weights()
        (warning,) = [r for r in log.records if r.levelno == logging.WARNING]
        assert 'left random: stem.' in warning.getMessage()

    def test_old_counters_may_lack(self, make, source, spoil, log):
        def drop(state):
            for key in [key for key in state if key.endswith('num_batches_tracked')]:
                del state[key]

        make(source[0], spoil(drop)).init_weights()
        assert all(record.levelno == logging.INFO for record in log.records)


@pytest.mark.parametrize(
    'init_cfg', [{'type': 'Kaiming'}, {'type': 'Pretrained', 'checkpoint': 'x', 'prefix': 'a.'}]
)
def test_other_init_cfgs_are_refused(make, init_cfg, toys):
    with pytest.raises(ValueError, match=r'expected dict\(type="Pretrained"'):
        make(toys.MOBILENET, init_cfg).init_weights()


def test_a_missing_checkpoint_is_named(make, toys, tmp_path):
    init_cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'lost.pth')}
    with pytest.raises(FileNotFoundError, match=r'lost\.pth'):
        make(toys.MOBILENET, init_cfg).init_weights()


@pytest.mark.parametrize(
    'content', [torch.rand(3), [1, 2], {'state_dict': [1]}, {1: torch.rand(3)}, {'epoch': 3}]
)
def test_a_file_without_a_state_dict(make, content, toys, tmp_path):
    init_cfg = save(tmp_path / 'other.pth', content)
    expected = (
        r'other\.pth(: its state_dict (is a list|has an entry 1)| holds (no state dict|a \w+: exp))'
    )
    with pytest.raises(ValueError, match=expected):
        make(toys.MOBILENET, init_cfg).init_weights()


def test_random_weights_are_announced(make, toys, log):
    backbone = make(toys.MOBILENET, None)
    backbone.init_weights()
    assert 'random weights' in log.text
    assert all(p.isfinite().all() for p in backbone.parameters())


def test_segmentors_initialise_their_backbones(toys, sources, tmp_path):
    state = sources['torchvision-mobilenet'][2]
    for config in (toys.branched_config(TASKS), toys.search_config(TASKS)):
        config['backbone']['init_cfg'] = save(tmp_path / 'source.pth', state)
        model = toys.build(config)
        model.init_weights()
        weight = model.backbone.layers[2][0].conv[0].conv.weight
        assert torch.equal(weight, state['features.3.conv.0.0.weight'])
