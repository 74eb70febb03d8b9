"""Heads of mmseg as decoders of tasks: beside mmseg itself, in all kinds of tasks, and refused."""

import copy

import mmseg.models  # noqa: F401  (registers what the configs name)
import pytest
import torch
from mmengine.registry import MODELS as ROOT
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmbmtas.cost import count_madds
from mmbmtas.errors import InputError
from mmbmtas.models.decode_heads import DeepLabV3PlusHead
from mmbmtas.models.decode_heads.library_head import as_decoder, is_library_head
from mmbmtas.models.segmentors.decoders import DecoderBuilder

FOUR = [0, 1, 2, 3]
CHANNELS = [8, 8, 24, 8]  # of the taps of the narrow MobileNetV2
HEADS = {
    'FCNHead': {'num_convs': 1},
    'UPerHead': {'in_index': FOUR},
    'SegformerHead': {'in_index': FOUR},
    'FPNHead': {'in_index': FOUR, 'feature_strides': [4, 8, 16, 16]},
    'ASPPHead': {'in_index': 3},
    'PSPHead': {'in_index': -1},
    'LRASPPHead': {'in_index': [0, 1, 3], 'input_transform': 'multiple_select'},
    'DepthwiseSeparableASPPHead': {'c1_channels': 4},
    'DepthwiseSeparableFCNHead': {'in_index': [0, 3], 'input_transform': 'resize_concat'},
    'ANNHead': {'in_index': [2, 3], 'project_channels': 4},
    'SegmenterMaskTransformerHead': {
        'num_layers': 1,
        'num_heads': 2,
        'embed_dims': 8,
        'norm_cfg': {'type': 'LN'},
    },
}
TRAINED = ['FCNHead', 'UPerHead', 'SegformerHead', 'FPNHead', 'PSPHead']
LOSSES = {
    'semseg': (21, 'classes', None),
    'normals': (3, 'normals', {'type': 'mmbmtas.NormalsL1Loss'}),
    'edge': (1, 'probability', {'type': 'mmbmtas.BalancedBCELoss', 'positive_weight': 0.95}),
    'depth': (1, 'value', {'type': 'mmbmtas.DepthL1Loss'}),
}


def head(name, task='semseg', **options):
    """The config of a narrow head of a task, as a user writes it."""
    num_classes, output, loss = LOSSES[task]
    own = {} if output == 'classes' else {'output': output, 'loss_decode': loss}
    fixed = {'channels': 8, 'num_classes': num_classes, 'norm_cfg': {'type': 'BN'}}
    return {'type': f'mmseg.{name}', **fixed, **HEADS.get(name, {}), **own, **options}


@pytest.fixture(scope='module')
def builder(toys):
    """Builds decoders for a tree, at a size at which they all can be tried."""
    return DecoderBuilder(toys.network(toys.random_tree(['semseg'])), (832, 832))


def build(toys, **heads):
    """A tree whose decoders are these."""
    model = toys.build(toys.branched_config([*heads], heads=heads))
    model.init_weights()
    return model


def features(size=64):
    generator = torch.Generator().manual_seed(0)
    sides = (size // 4, size // 8, size // 16, size // 16)
    pairs = zip(CHANNELS, sides, strict=True)
    return [torch.randn(2, c, side, side, generator=generator) for c, side in pairs]


@pytest.mark.parametrize('name', [*HEADS])
def test_a_head_computes_and_costs_what_it_does_in_mmseg(name, toys, builder):
    ours = builder.build('semseg', head(name), 'decode_heads.semseg').eval()
    ours.init_weights()
    toys.randomise(ours)
    index = HEADS[name].get('in_index', -1)
    channels = [CHANNELS[i] for i in index] if isinstance(index, list) else CHANNELS[index]
    cfg = {**head(name), 'in_channels': channels}
    if name == 'DepthwiseSeparableASPPHead':
        cfg['c1_in_channels'] = CHANNELS[0]
    cfg['loss_decode'] = {'type': 'CrossEntropyLoss', 'avg_non_ignore': True}
    theirs = ROOT.build({**cfg, '_scope_': 'mmseg'}).eval()
    theirs.load_state_dict(ours.state_dict())  # the same names, so mmseg's checkpoints fit
    given = features(832 if name == 'LRASPPHead' else 64)
    maps = ours(given)
    assert torch.equal(maps, theirs(given))
    assert count_madds(ours, given) == count_madds(theirs, given)
    label = toys.label('semseg')
    sample = toys.sample([])
    sample.set_data({'gt_semseg': PixelData(data=label)})
    reference = SegDataSample()
    reference.gt_sem_seg = PixelData(data=label)
    (loss,) = ours.loss_by_feat(maps[:1], [sample]).values()
    torch.testing.assert_close(loss, theirs.loss_by_feat(maps[:1], [reference])['loss_ce'])


@pytest.mark.parametrize('name', TRAINED)
def test_every_kind_of_task_trains_and_predicts(name, toys):
    tasks = [*LOSSES]
    model = build(toys, **{task: head(name, task) for task in tasks}).train()
    inputs, samples = toys.batch(tasks)
    losses = model.loss(inputs, samples)
    model.parse_losses(losses)[0].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    model.eval()
    maps = model.encode_decode(inputs)
    target = torch.stack([sample.gt_depth.data for sample in samples])[:, 0]
    known = target > 0
    expected = (maps['depth'][:, 0] - target)[known].abs().mean()
    features = model.extract_feat(inputs)['depth']
    (loss,) = (
        model.decode_heads['depth']
        .loss_by_feat(model.decode_heads['depth'](features), samples)
        .values()
    )
    torch.testing.assert_close(loss, expected)
    first = model.predict(inputs, samples)[0]
    assert torch.equal(first.pred_semseg.data[0], maps['semseg'][0].argmax(0))
    torch.testing.assert_close(first.pred_edge.data, maps['edge'][0].sigmoid())
    torch.testing.assert_close(first.pred_normals.data, F.normalize(maps['normals'][0], dim=0))


def test_a_network_names_the_decoder_that_cannot_serve(toys):
    heads = {'semseg': toys.head('semseg'), 'depth': head('Mask2FormerHead', 'depth')}
    with pytest.raises(InputError, match=r'decode_heads\.depth: Mask2FormerHead classifies masks'):
        build(toys, **heads)


def test_an_image_without_a_label_counts_for_nothing(toys):
    model = build(toys, semseg=head('UPerHead'), depth=head('FCNHead', 'depth'))
    inputs, samples = toys.batch(['semseg', 'depth'])
    bare = [samples[0], toys.sample(['semseg'], seed=1)]
    assert model.labelled_tasks(bare) == ['semseg', 'depth']
    assert model.labelled_tasks([bare[1]]) == ['semseg']
    decoder = model.decode_heads['depth'].eval()
    maps = decoder(model.extract_feat(inputs)['depth'])
    (loss,) = decoder.loss_by_feat(maps, bare).values()
    (alone,) = decoder.loss_by_feat(maps[:1], bare[:1]).values()
    torch.testing.assert_close(loss, alone)


def test_our_decoders_beside_them_read_two_features(toys):
    tasks = ['semseg', 'depth']
    tree = toys.random_tree(tasks)
    mixed = toys.build(
        toys.branched_config(
            tasks, tree=tree, heads={'semseg': head('UPerHead'), 'depth': toys.head('depth')}
        )
    ).eval()
    plain = toys.build(toys.branched_config(tasks, tree=tree)).eval()
    plain.backbone.load_state_dict(mixed.backbone.state_dict())
    plain.decode_heads['depth'].load_state_dict(mixed.decode_heads['depth'].state_dict())
    inputs, _ = toys.batch(tasks)
    assert torch.equal(mixed.encode_decode(inputs)['depth'], plain.encode_decode(inputs)['depth'])
    costs = mixed.measure_cost().decoders
    assert costs['depth'] == plain.measure_cost().decoders['depth']
    assert mixed.measure_network() == mixed.measure_cost().tree(tree)


def test_a_copy_and_a_class_in_place_of_a_name(toys):
    model = build(toys, semseg={**head('FCNHead'), 'type': FCNHead})
    inputs, _ = toys.batch(['semseg'])
    again = copy.deepcopy(model)
    found = [m.eval().encode_decode(inputs)['semseg'] for m in (model, again)]
    assert torch.equal(*found)


def test_weights_of_mmsegs_own_segmentor_load(toys, tmp_path):
    cfg = {**head('FCNHead'), '_scope_': 'mmseg', 'in_channels': 8}
    theirs = ROOT.build(cfg)
    state = {f'decode_head.{name}': value for name, value in theirs.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'mmseg.pth')
    init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'mmseg.pth'), prefix='decode_head.'
    )
    ours = build(toys, semseg=head('FCNHead', init_cfg=init_cfg)).decode_heads['semseg']
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)


class Pair(BaseDecodeHead):
    """A head of somebody's own that gives two maps."""

    def forward(self, inputs):
        x = self.cls_seg(self._transform_inputs(inputs))
        return x, x


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        ({'type': 'mmseg.Mask2FormerHead'}, 'Mask2FormerHead classifies masks'),
        ({'type': 'mmseg.MaskFormerHead'}, 'MaskFormerHead classifies masks'),
        ({'type': 'mmseg.OCRHead', 'ocr_channels': 4}, "OCRHead refines another head's map"),
        ({'type': 'mmseg.PointHead'}, "PointHead refines another head's map"),
        ({'type': 'mmseg.DAHead', 'pam_channels': 4}, r'losses .* of its own \(loss_by_feat'),
        ({'type': 'mmseg.STDCHead'}, r'STDCHead has losses .* of its own'),
        ({'type': 'mmseg.SideAdapterCLIPHead'}, 'has losses or predictions of its own'),
        ({'type': 'mmseg.DPTHead'}, r'DPTHead\) cannot be built and run: .*assert isinstance'),
        ({'type': 'mmseg.ResNet', 'depth': 18}, 'ResNet is no decoder of maps'),
        ({'type': 'FCNHead'}, r"type 'FCNHead': .* written 'mmseg\.FCNHead'"),
        ({'type': Pair, 'channels': 8}, r'Pair\) gives tuple for one image, expected one map'),
        ({'num_classes': 3, 'output': 'value'}, 'has no loss_decode: .*DepthL1Loss'),
        (
            {'output': 'normals', 'loss_decode': {'type': 'mmbmtas.NormalsL1Loss'}},
            "output 'normals' with num_classes=21 of FCNHead .*normals with 3 channels",
        ),
        (
            {'output': 'masks', 'loss_decode': {'type': 'mmbmtas.DepthL1Loss'}},
            "output 'masks' with",
        ),
        ({'num_classes': 0}, 'num_classes of FCNHead .* 0: expected'),
        ({'channels': 'many'}, "channels of FCNHead .*'many': expected"),
        ({'out_channels': 1}, r'out_channels=1 of .*FCNHead\): it is num_classes'),
        ({'threshold': 0.3}, r'threshold=0\.3 of .*FCNHead\): .*metrics have thresholds'),
        ({'in_channels': 9}, 'in_channels 9 of .*in_index=-1 have 8; leave in_channels out'),
        ({'in_index': 4}, 'in_index 4 of .*from 0 to 3.*4 features of .8, 8, 24, 8. channels'),
        ({'in_index': []}, r'in_index \[\] of'),
        ({'in_index': True}, 'in_index True of'),
        ({'in_index': 'all'}, "in_index 'all' of"),
        ({'in_index': FOUR}, 'cannot be built and run: .*assert isinstance.*several are read'),
        ({'depth_wise': 1}, "cannot be built and run: .*unexpected keyword argument 'depth_wise'"),
        ({'loss_decode': {'type': 'NoLoss'}}, 'cannot be built and run: .*NoLoss'),
        (
            {'loss_decode': {'type': 'mmbmtas.DepthL1Loss', 'loss_weight': -1}},
            'loss_weight .*FCNHead',
        ),
        ({'type': 'mmseg.UPerHead'}, 'cannot be built and run: .*several are read with a list'),
        (
            {'type': 'mmseg.LRASPPHead', 'in_index': [0, 1, 3]},
            'LRASPPHead and others need input_transform',
        ),
    ],
)
def test_what_cannot_serve_is_refused_before_work_begins(cfg, message, builder):
    given = {**head('FCNHead'), **cfg}
    if 'type' in cfg:
        given.pop('num_convs')
    with pytest.raises(InputError, match=message) as found:
        builder.build('semseg', given, 'decode_heads.semseg')
    assert 'decode_heads.semseg' in str(found.value)


class TestSmallImages:
    """mmseg's LRASPPHead pools over 49 x 49 features, at stride 16 over 784 pixels."""

    def test_they_are_refused_with_what_would_do(self, toys):
        config = toys.branched_config(['semseg'], heads={'semseg': head('LRASPPHead')})
        model = toys.build({**config, 'cost_shape': (832, 832)})
        model.check_images((800, 784), 'training images')
        with pytest.raises(InputError, match='training images of 800 x 768 pixels') as found:
            model.check_images((800, 768), 'training images')
        for part in ('decode_heads.semseg (LRASPPHead)', '3: (8, 50, 48)', 'Larger images (crop'):
            assert part in str(found.value)

    def test_auxiliary_heads_are_named(self, toys):
        config = toys.branched_config(['edge'])
        config |= {'cost_shape': (832, 832), 'auxiliary_heads': {'edge': lraspp_of_edges()}}
        with pytest.raises(InputError, match=r'auxiliary_heads\.edge \(aux\) \(LRASPPHead\)'):
            toys.build(config).check_images((512, 512), 'test images')


def lraspp_of_edges():
    own = {key: value for key, value in head('LRASPPHead', 'edge').items() if key != 'output'}
    return {key: value for key, value in own.items() if key != 'num_classes'}


@pytest.mark.parametrize(('kind', 'expected'), [(FCNHead, True), (DeepLabV3PlusHead, False)])
def test_decoders_of_ours_stay_as_they_are(kind, expected):
    assert is_library_head(kind) == expected
    assert not is_library_head(as_decoder(FCNHead))


class TestAuxiliaryHeads:
    def config(self, toys, auxiliary, **options):
        heads = {'semseg': head('UPerHead'), 'depth': toys.head('depth')}
        config = toys.branched_config([*heads], heads=heads)
        return {**config, 'auxiliary_heads': auxiliary, **options}

    def test_losses_count_as_the_tasks(self, toys):
        aux = {'type': 'mmseg.FCNHead', 'in_index': 2, 'channels': 4, 'num_convs': 1}
        auxiliary = {
            'semseg': {**aux, 'loss_decode': {'type': 'mmseg.DiceLoss', 'loss_weight': 0.4}},
            'depth': [{**aux, 'loss_decode': {'type': 'mmbmtas.DepthL1Loss', 'loss_weight': 0.4}}]
            * 2,
        }
        model = toys.build(self.config(toys, auxiliary))
        model.init_weights()
        inputs, samples = toys.batch(['semseg', 'depth'])
        losses = model.train().loss(inputs, samples)
        assert {*losses} == {
            *('semseg.loss_ce', 'semseg.aux.loss_dice'),
            *('depth.loss_l1', 'depth.aux_0.loss_l1', 'depth.aux_1.loss_l1'),
        }
        total, _ = model.parse_losses(losses)
        torch.testing.assert_close(total, sum(losses.values()))
        torch.testing.assert_close(
            total.parts['depth'], sum(v for k, v in losses.items() if k.startswith('depth.'))
        )
        total.backward()
        assert not [name for name, p in model.named_parameters() if p.grad is None]

    def test_predictions_and_costs_are_those_without(self, toys):
        aux = {'semseg': {'type': 'mmseg.FCNHead', 'in_index': 1, 'channels': 4}}
        model, bare = toys.build(self.config(toys, aux)), toys.build(self.config(toys, None))
        bare.load_state_dict(
            {k: v for k, v in model.state_dict().items() if not k.startswith('auxiliary_heads.')}
        )
        inputs, _ = toys.batch([])
        found, expected = (m.eval().encode_decode(inputs)['semseg'] for m in (model, bare))
        assert torch.equal(found, expected)
        assert model.measure_cost() == bare.measure_cost()

    @pytest.mark.parametrize(
        ('auxiliary', 'message'),
        [
            ({'edge': {}}, r"auxiliary_heads\.edge: expected one of the tasks .*'semseg'"),
            ({'semseg': []}, r'auxiliary_heads\.semseg \(aux\) \[\]: expected dict\(type='),
            ({'semseg': [None]}, r'auxiliary_heads\.semseg \(aux_0\) None: expected dict'),
            ({'semseg': {'type': 'FCNHead'}}, r"\(aux\)\.type 'FCNHead': .*'mmseg\.FCNHead'"),
            ([{'type': 'mmseg.FCNHead'}], r'auxiliary_heads \[.*expected dict\(TASK='),
            (
                {'semseg': {'type': 'mmseg.FCNHead', 'num_classes': 3}},
                r'auxiliary_heads\.semseg \(aux\)\.num_classes 3: the decoder of semseg has 21',
            ),
            (
                {'semseg': [{'type': 'mmseg.FCNHead', 'channels': 4, 'in_index': 7}]},
                r'in_index 7 of auxiliary_heads\.semseg \(aux_0\)',
            ),
            (
                {'depth': {'type': 'mmseg.FCNHead', 'channels': 4}},
                r'auxiliary_heads\.depth \(aux\) \(FCNHead\) has no loss_decode',
            ),
        ],
    )
    def test_what_has_no_meaning_is_refused(self, auxiliary, message, toys):
        with pytest.raises(InputError, match=message):
            toys.build(self.config(toys, auxiliary))
