"""Networks of timm beyond what test_library_encoders.py has of every encoder."""

import pytest
import torch

from mmbmtas import deploy
from mmbmtas.encoders import build_encoder
from mmbmtas.encoders.timm_cut import cut_network
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.models.inference import prepare_for_inference
from mmbmtas.structures import BranchedArchitecture

SMALL = {'type': 'TimmEncoder', 'name': 'mobilenetv3_small_050', 'context_channels': 8}


def network(cfg, **options):
    encoder = build_encoder(cfg)
    tree = BranchedArchitecture.shared(['semseg'], encoder.to_config(), encoder.num_layers)
    return BranchedNetwork(tree, **options)


def test_without_timm_the_extra_is_named(monkeypatch):
    def refuse(module):
        raise ImportError(f'No module named {module!r}')

    cut_network.cache_clear()
    monkeypatch.setattr('mmbmtas.extras.import_module', refuse)
    with pytest.raises(InputError, match=r"needs the package timm.*pip install 'mmbmtas\[timm\]'"):
        build_encoder(SMALL)


class TestWithTimm:
    @pytest.fixture(autouse=True, scope='class')
    def timm(self):
        return pytest.importorskip('timm')

    def test_weights_of_timm_load_strictly(self, timm, tmp_path):
        """The whole state dict, with its classifier; names that nobody knows are refused."""
        theirs = timm.create_model(SMALL['name'], num_classes=10)
        path = tmp_path / 'weights.pth'
        torch.save(theirs.state_dict(), path)
        ours = network(SMALL, init_cfg={'type': 'Pretrained', 'checkpoint': str(path)})
        ours.init_weights()
        block = ours.layers[4][0].get_submodule('block')
        assert torch.equal(block.conv_dw.weight, theirs.blocks[2][1].conv_dw.weight)
        torch.save({**theirs.state_dict(), 'blocks.9.0.conv.weight': torch.ones(1)}, path)
        with pytest.raises(InputError, match=r'no place for blocks\.9\.0\.conv\.weight'):
            ours.init_weights()

    def test_copies_are_separate_and_nobody_disturbs_the_others(self):
        encoder = build_encoder(SMALL)
        first, second = encoder.build_layer(3), encoder.build_layer(3)
        assert not torch.equal(first.block.conv_pw.weight, second.block.conv_pw.weight)
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        build_encoder({'type': 'TimmEncoder', 'name': 'mobilenetv3_small_075'})
        assert torch.equal(torch.rand(3), expected)

    def test_levels_of_a_dilated_network_are_those_of_its_strides(self):
        plain = build_encoder({'type': 'TimmEncoder', 'name': 'resnet18'})
        dilated = build_encoder({'type': 'TimmEncoder', 'name': 'resnet18', 'output_stride': 16})
        assert plain.taps == dilated.taps == (1, 3, 5, 8)
        shapes = dilated.output_shapes((64, 64))
        assert [tuple(shapes[tap]) for tap in dilated.taps[:3]] == [
            (64, 16, 16),
            (128, 8, 8),
            (256, 4, 4),
        ]
        assert shapes[7] == (512, 4, 4)
        assert plain.output_shapes((64, 64))[7] == (512, 2, 2)

    def test_an_activation_within_a_normalisation_is_not_lost(self):
        """mmcv's folding would put an identity in its place."""
        with pytest.raises(InputError, match=r'fuse_conv_bn: .*normalisations .*cannot be folded'):
            prepare_for_inference(network(SMALL), fuse_conv_bn=True)
        plain = network({'type': 'TimmEncoder', 'name': 'resnet18', 'context_channels': 8}).eval()
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            expected = plain(image)['semseg']
            found = prepare_for_inference(plain, fuse_conv_bn=True)(image)['semseg']
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize('name', ['ghostnet_050', 'mobileone_s0'])
    def test_a_normalisation_of_one_branch_ends_nothing(self, name):
        """The last one has half of GhostNet's channels, or is one of MobileOne's branches."""
        encoder = build_encoder({'type': 'TimmEncoder', 'name': name})
        assert encoder.last_norm(encoder.build_layer(2)) is None

    def test_it_is_exported(self, toys):
        onnxruntime = pytest.importorskip('onnxruntime')
        encoder = build_encoder(SMALL)
        tree = BranchedArchitecture.shared(['depth'], encoder.to_config(), encoder.num_layers)
        head = {**toys.head('depth'), 'in_channels': None}
        config = toys.branched_config(['depth'], tree=tree, heads={'depth': head})
        config['data_preprocessor'] = {
            'type': 'mmengine.ImgDataPreprocessor',
            'mean': [0.0] * 3,
            'std': [255.0] * 3,
        }
        model = toys.build(config).eval()
        exported = deploy.export_network(model, {}, shape=(64, 64))
        image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
        session = onnxruntime.InferenceSession(exported.content)
        (found,) = session.run(None, {'image': image.numpy()})
        with torch.no_grad():
            expected = model.encode_decode(image.flip(1).float() / 255)['depth']
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-4)
        assert exported.description['encoder'] == SMALL

    @pytest.mark.parametrize(
        ('cfg', 'message'),
        [
            ({'name': 'resnet19'}, r"name 'resnet19' .*has no such network; .*such as resnet18"),
            ({'name': 'hf-hub:timm/resnet18'}, 'has no such network'),
            ({'name': ['resnet18']}, r"name \['resnet18'\] .*expected one of timm\.list_models"),
            ({'name': 'resnet18', 'output_stride': 4}, 'output_stride .* 4: expected 8, 16 or 32'),
            (
                {'name': 'mobilenetv3_small_050', 'output_stride': 16},
                'output_stride=16: timm cannot build it .*expected 32',
            ),
            ({'name': 'densenet121'}, 'found no stem and stages of blocks; try resnet18'),
            ({'name': 'vit_tiny_patch16_224'}, r'does not run on an image of \(64, 96\)'),
        ],
    )
    def test_what_cannot_be_an_encoder_is_refused(self, cfg, message):
        with pytest.raises(InputError, match=message):
            build_encoder({'type': 'TimmEncoder', **cfg})
