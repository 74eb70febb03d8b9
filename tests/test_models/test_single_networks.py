"""Encoders that exchange features start from the checkpoints of single-task networks."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from mmbmtas.structures import BranchedArchitecture

TASKS = ('semseg', 'normals', 'edge')
NEUTRAL = {'norm_cfg': {'type': 'BN', 'eps': 0.0}, 'act_cfg': None}
METHODS = {'CrossStitchNetwork': {}, 'NDDRCNN': NEUTRAL}


def config(toys, method, encoder, checkpoints, **options):
    """Config of a multi-task network that starts from checkpoints."""
    model = toys.exchange_config(method, TASKS, encoder, **options)
    return {**model, 'init_cfg': {'type': 'SingleCheckpoints', 'checkpoints': checkpoints}}


@pytest.fixture
def make_single(toys):
    """A trained single-task network: no initialisation gives its weights."""

    def make(task, encoder):
        tree = BranchedArchitecture.shared([task], encoder, toys.NUM_LAYERS[encoder['type']])
        model = toys.build(toys.branched_config([task], encoder, tree))
        toys.randomise(model)
        return model.eval()

    return make


@pytest.fixture
def make_singles(make_single, tmp_path):
    """A single-task network for each task, and the path of its checkpoint."""

    def make(encoder):
        torch.manual_seed(0)
        models = {task: make_single(task, encoder) for task in TASKS}
        paths = {task: str(tmp_path / f'{task}.pth') for task in TASKS}
        for task, model in models.items():
            torch.save({'state_dict': model.state_dict(), 'meta': {'iter': 3}}, paths[task])
        return models, paths

    return make


@pytest.mark.parametrize(
    ('method', 'encoder'), [('CrossStitchNetwork', 'RESNET'), ('NDDRCNN', 'MOBILENET')]
)
def test_outputs_are_the_single_networks(method, encoder, toys, make_singles, caplog):
    encoder = getattr(toys, encoder)
    singles, paths = make_singles(encoder)
    options = {'alpha': 1.0, 'beta': 0.0, **METHODS[method]}
    model = toys.build(config(toys, method, encoder, paths, **options)).eval()
    logger = MMLogger.get_instance('test_single_networks')
    MMLogger._instance_dict.move_to_end('test_single_networks')
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    model.init_weights()
    logger.removeHandler(caplog.handler)
    for task, path in paths.items():
        assert f'Encoder and decoder of {task} loaded from {path}.' in caplog.text
    assert 'without single-task' not in caplog.text
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features, maps = model.extract_feat(images), model.encode_decode(images)
        for task, single in singles.items():
            expected = (*single.extract_feat(images)[task], single.encode_decode(images)[task])
            for one, other in zip((*features[task], maps[task]), expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
            assert expected[1].std() > 1e-4
            for name, weight in single.decode_heads[task].state_dict().items():
                assert torch.equal(model.decode_heads[task].state_dict()[name], weight)


@pytest.mark.parametrize('method', METHODS)
def test_units_keep_their_initial_weights(method, toys, make_singles):
    _, paths = make_singles(toys.MOBILENET)
    model = toys.build(config(toys, method, toys.MOBILENET, paths))
    before = {name: p.clone() for name, p in model.backbone.units.named_parameters()}
    model.init_weights()
    for name, parameter in model.backbone.units.named_parameters():
        assert torch.equal(parameter, before[name])


def test_what_balanced_their_losses_does_not_matter(toys, make_singles):
    singles, paths = make_singles(toys.MOBILENET)
    balanced = {**singles['edge'].state_dict(), 'loss_balancing.log_variances.edge': torch.ones(())}
    torch.save({'state_dict': balanced}, paths['edge'])
    model = toys.build(config(toys, 'NDDRCNN', toys.MOBILENET, paths))
    model.init_weights()
    found, expected = (m.decode_heads['edge'].conv_seg.weight for m in (model, singles['edge']))
    assert torch.equal(found, expected)


def test_auxiliary_heads_start_anew(toys, make_singles):
    """Those of the single networks have done their work; the network's own are initialised."""
    singles, paths = make_singles(toys.MOBILENET)
    extra = {'auxiliary_heads.edge.aux.conv_seg.weight': torch.ones(1, 4, 1, 1)}
    torch.save({'state_dict': {**singles['edge'].state_dict(), **extra}}, paths['edge'])
    aux = {'type': 'mmseg.FCNHead', 'in_index': 1, 'channels': 4}
    aux['loss_decode'] = {'type': 'mmbmtas.BalancedBCELoss'}
    cfg = config(toys, 'NDDRCNN', toys.MOBILENET, paths)
    model = toys.build({**cfg, 'auxiliary_heads': {'edge': aux}})
    model.init_weights()
    assert (model.auxiliary_heads['edge']['aux'].conv_seg.bias == 0).all()
    for name, weight in singles['edge'].decode_heads['edge'].state_dict().items():
        assert torch.equal(model.decode_heads['edge'].state_dict()[name], weight)


class TestRefusals:
    @pytest.fixture
    def paths(self, toys, make_singles):
        return make_singles(toys.MOBILENET)[1]

    def refused(self, toys, paths, method='CrossStitchNetwork', encoder=None, **options):
        """The message of the one error that starting from these checkpoints gives."""
        encoder = encoder or toys.MOBILENET
        model = toys.build(config(toys, method, encoder, paths, **options))
        with pytest.raises(ValueError) as caught:  # noqa: PT011, callers look at the message
            model.init_weights()
        return str(caught.value)

    def change(self, path, edit):
        content = torch.load(path)
        edit(content['state_dict'])
        torch.save(content, path)

    def test_another_encoder(self, toys, paths):
        message = self.refused(toys, paths, encoder=toys.RESNET)
        assert paths['semseg'] in message
        assert 'MobileNetV2Encoder' in message
        assert 'ResNetEncoder' in message

    def test_another_task(self, toys, paths):
        swapped = {**paths, 'normals': paths['edge']}
        message = self.refused(toys, swapped)
        assert f"{paths['edge']} holds a network of the tasks ['edge']" in message
        assert "expected one of 'normals' alone" in message

    def test_several_tasks(self, toys, paths):
        model = toys.build(toys.branched_config(TASKS))
        torch.save({'state_dict': model.state_dict()}, paths['edge'])
        assert str([*TASKS]) in self.refused(toys, paths)

    def test_missing_keys_of_the_encoder(self, toys, paths):
        key = 'backbone.layers.4.0.conv.1.conv.weight'
        self.change(paths['edge'], lambda weights: weights.pop(key))
        message = self.refused(toys, paths)
        assert paths['edge'] in message
        assert key in message

    def test_missing_and_strange_keys_of_the_decoder(self, toys, paths):
        key = 'decode_heads.normals.conv_seg.bias'

        def edit(weights):
            weights[f'{key}.more'] = weights.pop(key)

        self.change(paths['normals'], edit)
        message = self.refused(toys, paths)
        assert paths['normals'] in message
        assert f'"{key}"' in message
        assert f'"{key}.more"' in message

    def test_another_decoder(self, toys, paths):
        cfg = config(toys, 'NDDRCNN', toys.MOBILENET, paths)
        cfg['decode_heads']['edge']['channels'] = 16
        with pytest.raises(ValueError, match=r'edge\.pth does not fit the network') as e:
            toys.build(cfg).init_weights()
        assert 'size mismatch for decode_heads.edge.conv_seg' in str(e.value)

    def test_no_single_task_network_at_all(self, toys, paths):
        torch.save({'conv1.weight': torch.zeros(1)}, paths['semseg'])
        message = self.refused(toys, paths)
        assert f"{paths['semseg']} is no single-task network of 'semseg'" in message
        assert 'backbone._extra_state' in message

    def test_no_checkpoint_of_weights(self, toys, paths):
        torch.save([1, 2], paths['semseg'])
        assert 'semseg.pth holds a list: expected a dict' in self.refused(toys, paths)

    def test_encoders_that_exchange_features(self, toys, paths):
        model = toys.build(toys.exchange_config('MTAN', TASKS))
        torch.save({'state_dict': model.state_dict()}, paths['semseg'])
        assert f'{paths["semseg"]} holds a MTAN of the tasks' in self.refused(toys, paths)

    def test_a_search(self, toys, paths):
        model = toys.build(toys.search_config(TASKS))
        torch.save({'state_dict': model.state_dict()}, paths['semseg'])
        assert paths['semseg'] in self.refused(toys, paths)

    @pytest.mark.parametrize('tasks', [TASKS[:2], (*TASKS, 'depth')])
    def test_other_tasks_than_the_models(self, tasks, toys, paths):
        message = self.refused(toys, {task: paths.get(task, 'x.pth') for task in tasks})
        assert f'names the tasks {sorted(tasks)}' in message
        assert str([*TASKS]) in message

    def test_a_file_that_lacks(self, toys, paths):
        model = toys.build(
            config(toys, 'NDDRCNN', toys.MOBILENET, {**paths, 'edge': 'lost/edge.pth'})
        )
        with pytest.raises(FileNotFoundError, match=r'lost/edge\.pth'):
            model.init_weights()

    def test_networks_that_do_not_start_so(self, toys, paths):
        assert 'MTAN does not start from' in self.refused(toys, paths, method='MTAN')
        init_cfg = {'type': 'SingleCheckpoints', 'checkpoints': paths}
        branched = {**toys.branched_config(TASKS), 'init_cfg': init_cfg}
        with pytest.raises(ValueError, match='BranchedNetwork does not start from'):
            toys.build(branched).init_weights()
