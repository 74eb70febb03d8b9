"""Networks of one task of a tree: weights from a network of all tasks, features of any layers."""

import pytest
import torch
import torchvision
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS as MMSEG_MODELS

from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedNetwork

TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=['MOBILENET', 'RESNET'])
def trained(request, toys, tmp_path):
    """A network of a tree, and its checkpoint with another part beside the backbone."""
    tree = toys.random_tree(TASKS, getattr(toys, request.param), seed=2)
    network = BranchedNetwork(tree).eval()
    toys.randomise(network)
    state = network.state_dict(prefix='backbone.')
    state['decode_heads.semseg.conv_seg.weight'] = torch.ones(3, 4, 1, 1)
    torch.save({'state_dict': state}, tmp_path / 'trained.pth')
    return network, str(tmp_path / 'trained.pth')


def equal(found, expected):
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def plain(network, **backbone):
    """A plain mmseg segmentor of a tree's first task."""
    init_default_scope('mmseg')
    low, context = network.encoder.low_level_channels, network.encoder.context_channels
    return MMSEG_MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=dict(
                type='mmbmtas.BranchedNetwork',
                architecture=network.architecture.to_dict(),
                task='semseg',
                **backbone,
            ),
            decode_head=dict(
                type='FCNHead',
                in_channels=[low, context],
                in_index=[0, 1],
                input_transform='resize_concat',
                channels=4,
                num_convs=1,
                num_classes=3,
            ),
        )
    ).eval()


class TestWeights:
    @torch.no_grad()
    def test_load_from(self, trained, images):
        network, checkpoint = trained
        model = plain(network)
        load_checkpoint(model, checkpoint, map_location='cpu')
        assert equal(model.backbone(images), network(images)['semseg'])

    @torch.no_grad()
    def test_init_cfg(self, trained, images):
        network, checkpoint = trained
        model = plain(network, init_cfg=dict(type='Pretrained', checkpoint=checkpoint))
        model.init_weights()
        assert equal(model.backbone(images), network(images)['semseg'])

    @torch.no_grad()
    def test_some_tasks_of_a_tree(self, trained, images):
        network, _ = trained
        tree = network.architecture.for_tasks(['edge', 'semseg'])
        part = BranchedNetwork(tree).eval()
        part.load_state_dict(network.state_dict())
        found, expected = part(images), network(images)
        assert all(equal(found[task], expected[task]) for task in tree.tasks)

    @torch.no_grad()
    def test_what_was_seeded_comes_back(self, trained, images):
        network, _ = trained
        one, other = (BranchedNetwork(network.architecture, task='edge').eval() for _ in range(2))
        one.load_state_dict(network.state_dict())
        other.load_state_dict(one.state_dict())
        assert equal(other(images), network(images)['edge'])

    def test_other_trees_tasks_and_methods_are_refused(self, trained, toys, tmp_path):
        network, _ = trained
        encoder = network.architecture.encoder
        other = BranchedNetwork(toys.random_tree(('depth', 'edge'), encoder))
        with pytest.raises(InputError, match='another tree than the config'):
            other.load_state_dict(network.state_dict())
        single = BranchedNetwork(network.architecture, task='edge')
        with pytest.raises(InputError, match='another tree than the config'):
            network.load_state_dict(single.state_dict())
        searched = toys.supernet(TASKS, encoder).state_dict(prefix='backbone.')
        torch.save({'state_dict': searched}, tmp_path / 'search.pth')
        init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'search.pth'))
        with pytest.raises(InputError, match=r'search\.pth comes from a search'):
            BranchedNetwork(network.architecture, init_cfg=init_cfg).init_weights()


class TestOutIndices:
    @torch.no_grad()
    def test_outputs_of_these_layers(self, trained, images):
        network, _ = trained
        last = network.encoder.num_layers - 1
        seen = {}
        alone = BranchedNetwork(network.architecture, task='normals').eval()
        alone.load_state_dict(network.state_dict())
        for index, (layer,) in enumerate(alone.layers):
            layer.register_forward_hook(
                lambda _, __, output, index=index: seen.update({index: output})
            )
        alone(images)
        for chosen in ((0, 3, last), (1, 2), (last,)):
            levels = BranchedNetwork(network.architecture, task='normals', out_indices=chosen)
            levels.eval().load_state_dict(network.state_dict())
            assert equal(levels(images), [seen[index] for index in chosen])
            assert len(levels.layers) == chosen[-1] + 1
            shapes = [found.shape[1] for found in levels(images)]
            assert shapes == [network.encoder.out_channels(index) for index in chosen]

    def test_all_parameters_learn(self, trained, images):
        network, _ = trained
        levels = BranchedNetwork(network.architecture, task='edge', out_indices=[0, 4])
        sum(found.square().mean() for found in levels(images)).backward()
        assert all(p.grad is not None for p in levels.parameters())
        assert sum(len([*module.parameters()]) for module, _ in levels.shared_by()) == len(
            [*levels.parameters()]
        )

    @torch.no_grad()
    def test_imagenet_weights_of_absent_layers_are_left_out(self, toys, images, tmp_path):
        published = torchvision.models.mobilenet_v2(width_mult=0.25)
        torch.save(published.state_dict(), tmp_path / 'imagenet.pth')
        init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'imagenet.pth'))
        tree = toys.random_tree(TASKS, toys.MOBILENET)
        network = BranchedNetwork(tree, task='edge', out_indices=(0, 2), init_cfg=init_cfg)
        network.init_weights()
        # torchvision's first blocks: the stem, then one for each of our layers.
        expected = [images]
        for block in published.eval().features[:4]:
            expected.append(block(expected[-1]))
        found = network.eval()(images)
        assert torch.allclose(found[0], expected[2], atol=1e-5)
        assert torch.allclose(found[1], expected[4], atol=1e-5)

    def test_a_head_of_four_levels(self, toys, images):
        init_default_scope('mmseg')
        tree = toys.random_tree(TASKS, toys.MOBILENET)
        indices = (0, 2, 5, 16)
        encoder = BranchedNetwork(tree).encoder
        model = MMSEG_MODELS.build(
            dict(
                type='EncoderDecoder',
                backbone=dict(
                    type='mmbmtas.BranchedNetwork',
                    architecture=tree.to_dict(),
                    task='semseg',
                    out_indices=indices,
                ),
                decode_head=dict(
                    type='FPNHead',
                    in_channels=[encoder.out_channels(index) for index in indices],
                    in_index=[0, 1, 2, 3],
                    feature_strides=[2, 4, 8, 16],
                    channels=8,
                    num_classes=3,
                ),
                test_cfg=None,
            )
        ).eval()
        assert model(images, mode='tensor').shape[:2] == (2, 3)

    @pytest.mark.parametrize(
        ('task', 'indices'),
        [
            *(('edge', wrong) for wrong in ((), (3, 1), (1, 1), (0, 99), (-1,), (True, 2))),
            (None, (0, 1)),
        ],
    )
    def test_what_is_no_choice_of_layers_is_refused(self, toys, task, indices):
        tree = toys.random_tree(TASKS, toys.MOBILENET)
        with pytest.raises(InputError, match=r'out_indices .*from 0 to 17.*0 layer1\.0'):
            BranchedNetwork(tree, task=task, out_indices=indices)
