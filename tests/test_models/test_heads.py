"""The decoder, in our segmentors' hands and in mmseg's."""

import copy
import inspect

import mmseg.models  # noqa: F401  (registers what the configs name)
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS as ROOT
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmbmtas.cost import count_madds
from mmbmtas.errors import InputError
from mmbmtas.models.decode_heads import TaskHead
from mmbmtas.registry import MODELS
from mmbmtas.structures.tasks import TASKS

EACH = ('semseg', 'human_parts', 'saliency', 'normals', 'edge', 'depth')


@pytest.fixture(params=EACH)
def task(request):
    return request.param


def features():
    generator = torch.Generator().manual_seed(0)
    low_level = torch.randn(2, 8, 16, 16, generator=generator)
    return low_level, torch.randn(2, 8, 4, 4, generator=generator)


class TestHead:
    @pytest.fixture
    def head(self, toys, task):
        return MODELS.build(toys.head(task)).eval()

    def test_map_at_stride_4(self, head, toys):
        low_level, context = features()
        x = head((low_level, context))
        assert x.shape == (2, head.num_classes, 16, 16)
        wide = F.interpolate(context, (16, 16), mode='bilinear')
        refined = head.refine(torch.cat([wide, head.low_level_projection(low_level)], dim=1))
        torch.testing.assert_close(x, head.conv_seg(refined))

    def test_a_task_with_a_valid_pixel_is_labelled(self, head, toys, task):
        _, samples = toys.batch([task])
        assert head.is_labelled(samples)
        ignored = TASKS[task].pad_value
        for sample in samples[:1]:
            sample.get(f'gt_{task}').data.fill_(ignored)
        assert head.is_labelled(samples)
        samples[1].get(f'gt_{task}').data.fill_(ignored)
        assert not head.is_labelled(samples)
        assert not head.is_labelled(toys.batch([])[1])

    def test_loss_is_that_of_the_upsampled_map(self, head, toys, task):
        _, samples = toys.batch([task])
        maps = head(features())
        losses = head.loss_by_feat(maps, samples)
        target = torch.stack([s.get(f'gt_{task}').data for s in samples])
        logits = F.interpolate(maps, (64, 64), mode='bilinear')
        if task in ('semseg', 'human_parts'):
            expected = F.cross_entropy(logits, target[:, 0], ignore_index=255)
        else:
            expected = head.loss_decode(logits, target if task == 'normals' else target[:, 0])
        (name,) = losses
        assert name.startswith('loss_')
        torch.testing.assert_close(losses[name], expected)

    def test_an_image_without_the_label_counts_for_nothing(self, head, toys, task):
        _, samples = toys.batch([task])
        del samples[0].__dict__[f'gt_{task}']
        samples[0]._data_fields.remove(f'gt_{task}')
        maps = head(features()).detach().requires_grad_()
        (loss,) = head.loss_by_feat(maps, samples).values()
        loss.backward()
        assert (maps.grad[0] == 0).all()
        assert (maps.grad[1] != 0).any()
        (alone,) = head.loss_by_feat(maps[1:], samples[1:]).values()
        torch.testing.assert_close(loss, alone)

    def test_no_label_at_all_is_an_error_that_names_it(self, head, toys, task):
        with pytest.raises(ValueError, match=f"no image of the batch has the label 'gt_{task}'"):
            head.loss_by_feat(head(features()), toys.batch([])[1])

    def test_prediction(self, head, task):
        logits = 5 * torch.randn(head.num_classes, 6, 7)
        found = head.to_prediction(logits)
        if task in ('semseg', 'human_parts'):
            assert found.dtype == torch.int64
            assert torch.equal(found[0], logits.argmax(0))
        elif task in ('saliency', 'edge'):
            torch.testing.assert_close(found, 1 / (1 + (-logits).exp()))
        elif task == 'normals':
            torch.testing.assert_close(found.norm(dim=0), torch.ones(6, 7))
            torch.testing.assert_close(found * logits.norm(dim=0), logits)
        else:
            assert torch.equal(found, logits)


def test_a_class_beyond_the_last_is_named(toys):
    head = MODELS.build(toys.head('semseg'))
    _, samples = toys.batch(['semseg'], size=(64, 64))
    samples[0].gt_semseg.data[0, 0, 0] = 77
    for name, sample in zip(('bad.jpg', 'good.jpg'), samples, strict=True):
        sample.set_metainfo({'img_path': name})
    message = r'gt_semseg: Target 77 .* 0 to \d+ \(num_classes\), 255 .* the label of bad\.jpg$'
    with pytest.raises(ValueError, match=message):
        head.loss_by_feat(head(features()), samples)


def test_several_losses_are_named_or_added(toys):
    cfg = toys.head('saliency')
    one = {'type': 'mmbmtas.BalancedBCELoss'}
    cfg['loss_decode'] = [one, {**one, 'positive_weight': 0.5}, {**one, 'loss_name': 'loss_two'}]
    head = MODELS.build(cfg).eval()
    _, samples = toys.batch(['saliency'])
    maps = head(features())
    losses = head.loss_by_feat(maps, samples)
    single = MODELS.build({**cfg, 'loss_decode': one}).loss_by_feat(maps, samples)['loss_bce']
    assert set(losses) == {'loss_bce', 'loss_two'}
    torch.testing.assert_close(losses['loss_two'], single)
    assert losses['loss_bce'] > single


@pytest.mark.parametrize(
    'options',
    [
        {'output': 'vector'},
        {'output': 'probability', 'num_classes': 2},
        {'output': 'normals', 'num_classes': 1},
    ],
)
def test_output_must_go_with_the_channels(options, toys):
    with pytest.raises(ValueError, match=f"output '{options['output']}' with num_classes="):
        MODELS.build({**toys.head('semseg'), **options})


@pytest.mark.parametrize(
    ('separable', 'channels', 'inner'),
    [(True, 128, 9 * 176 + 176 * 128 + 9 * 128 + 128 * 128), (False, 256, 0)],
)
def test_cost_of_the_papers_decoders(separable, channels, inner):
    low, context = (24, 128) if separable else (256, 256)
    head = MODELS.build(
        {
            'type': 'DeepLabV3PlusHead',
            'in_channels': [low, context],
            'channels': channels,
            'num_classes': 21,
            'separable': separable,
        }
    )
    x = torch.empty(1, low, 128, 128), torch.empty(1, context, 32, 32)
    inner = inner or 9 * (context + 48) * 256 + 9 * 256 * 256
    assert count_madds(head, x).madds == 128**2 * (low * 48 + inner + channels * 21)
    assert head.conv_seg.bias is not None


PREPROCESSOR = {
    'type': 'mmseg.SegDataPreProcessor',
    'mean': [127.5] * 3,
    'std': [127.5] * 3,
    'size': (64, 64),
    'test_cfg': {'size_divisor': 16},
}


def mmseg_batch(toys, task):
    """Raw images and samples as mmseg's pipelines give them."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for seed in range(2):
        data = toys.label(task, seed=seed)
        sample = SegDataSample(metainfo={'img_shape': (64, 64), 'ori_shape': (64, 64)})
        samples.append(sample.set_data({'gt_sem_seg': PixelData(data=data)}) or sample)
    shape = (3, 64, 64)
    images = [torch.randint(256, shape, generator=generator, dtype=torch.uint8) for _ in samples]
    return {'inputs': images, 'data_samples': samples}


class TestPlainEncoderDecoder:
    """Our parts alone within mmseg: a backbone with `task=`, and each head with its loss."""

    def build(self, toys, decode_head):
        tree = toys.random_tree(('semseg', 'normals', 'edge'))
        model = ROOT.build(
            copy.deepcopy(
                {
                    'type': 'mmseg.EncoderDecoder',
                    'data_preprocessor': PREPROCESSOR,
                    'backbone': {
                        'type': 'mmbmtas.BranchedNetwork',
                        'architecture': tree.to_dict(),
                        'task': 'normals',
                    },
                    'decode_head': decode_head,
                    'train_cfg': {},
                    'test_cfg': ConfigDict(mode='whole'),
                }
            )
        )
        model.init_weights()
        return model

    def train(self, model, data):
        model.train()
        data = model.data_preprocessor(data, True)
        total, _ = model.parse_losses(model(**data, mode='loss'))
        total.backward()
        assert total > 0
        lacking = [name for name, p in model.named_parameters() if p.grad is None]
        assert not lacking

    @pytest.mark.parametrize(
        'decode_head',
        [
            {'type': 'mmseg.FCNHead', 'in_channels': 8, 'in_index': 1, 'num_convs': 1},
            {
                'type': 'mmseg.FCNHead',
                'in_channels': [8, 8],
                'in_index': [0, 1],
                'input_transform': 'resize_concat',
            },
        ],
    )
    def test_heads_of_mmseg(self, toys, decode_head):
        model = self.build(toys, {**decode_head, 'channels': 8, 'num_classes': 21})
        self.train(model, mmseg_batch(toys, 'semseg'))
        model.eval()
        (sample, _) = model.test_step(mmseg_batch(toys, 'semseg'))
        assert sample.pred_sem_seg.data.shape == (1, 64, 64)

    def test_our_heads(self, toys, task):
        cfg = {**toys.head(task), 'type': 'mmbmtas.DeepLabV3PlusHead', 'target_key': 'gt_sem_seg'}
        model = self.build(toys, cfg)
        self.train(model, mmseg_batch(toys, task))
        model.eval()
        (sample, _) = model.test_step(mmseg_batch(toys, task))
        assert sample.seg_logits.data.shape == (cfg['num_classes'], 64, 64)

    def test_our_losses_in_mmsegs_heads(self, toys):
        # Not the normals: mmseg's heads report an accuracy, for which a label has one channel.
        for name, task in (('BalancedBCELoss', 'edge'), ('DepthL1Loss', 'depth')):
            loss = ROOT.build({'type': f'mmbmtas.{name}'})
            head = ROOT.build(
                {
                    'type': 'mmseg.FCNHead',
                    'in_channels': 8,
                    'channels': 8,
                    'num_classes': 1,
                    'threshold': 0.5,
                    'loss_decode': {'type': f'mmbmtas.{name}'},
                }
            )
            samples = mmseg_batch(toys, task)['data_samples']
            x = torch.randn(2, 8, 16, 16)
            value = head.loss([x], samples, {})[loss.loss_name]
            value.backward()
            assert value.isfinite()
            assert value > 0


class TestOptions:
    """What mmseg's base head takes either works here or is refused before anything is built."""

    @pytest.mark.parametrize(
        'options',
        [
            {'out_channels': 1},
            {'threshold': 0.3},
            {'in_index': [0, 1]},
            {'input_transform': 'resize_concat'},
            {'concat_input': True},
        ],
    )
    def test_what_would_do_nothing_is_refused(self, options, toys):
        (name,) = options
        with pytest.raises(InputError, match=rf'{name}=.* of DeepLabV3PlusHead \(gt_semseg\)'):
            MODELS.build({**toys.head('semseg'), **options})

    def test_every_option_of_the_base_is_taken_or_refused(self):
        known = {*inspect.signature(BaseDecodeHead.__init__).parameters} - {'self'}
        own = {*inspect.signature(TaskHead.__init__).parameters}
        assert known - own == {'out_channels', 'threshold', 'in_index', 'input_transform'}

    @pytest.mark.parametrize(
        'options',
        [
            *({'num_classes': value} for value in (0, -1, 2.0, True, '7', 10**8)),
            *({'channels': value} for value in (0, -8, 8.5)),
            *({'low_level_channels': value} for value in (0, 'many')),
            *({'in_channels': value} for value in ([8], [8, 0], 8, '88', [8, 8, 8])),
            *({'dropout_ratio': value} for value in (-0.1, 1, float('nan'), '0.1')),
            {'ignore_index': None},
        ],
    )
    def test_numbers_that_mean_nothing(self, options, toys):
        (name,) = options
        with pytest.raises(InputError, match=f'{name}.* of DeepLabV3PlusHead'):
            MODELS.build({**toys.head('semseg'), **options})

    def test_ohem_weighs_the_pixels_of_the_loss(self, toys):
        sampler = {'type': 'mmseg.OHEMPixelSampler', 'thresh': 0.05, 'min_kept': 2}
        head = MODELS.build({**toys.head('semseg'), 'sampler': sampler}).eval()
        _, samples = toys.batch(['semseg'])
        maps = 9 * head(features()) / head(features()).std()
        (loss,) = head.loss_by_feat(maps, samples).values()
        target = torch.stack([s.gt_semseg.data for s in samples])[:, 0]
        logits = F.interpolate(maps, (64, 64), mode='bilinear')
        valid = target != 255
        truth = logits.softmax(1).gather(1, torch.where(valid, target, 0)[:, None])[:, 0]
        hard = valid & (truth < max(0.05, truth[valid].sort().values[2 * 2]))
        assert 0 < hard.sum() < valid.sum()
        torch.testing.assert_close(loss, -truth[hard].log().sum() / valid.sum())

    @pytest.mark.parametrize(
        'sampler',
        [
            {'type': 'OHEMPixelSampler', 'min_kept': 0},
            {'type': 'OHEMPixelSampler', 'keep': 9},
            {'type': 'NoSampler'},
            {},
        ],
    )
    def test_a_sampler_that_cannot_be_built(self, sampler, toys):
        with pytest.raises(InputError, match=r'sampler .*gt_semseg.*for example'):
            MODELS.build({**toys.head('semseg'), 'sampler': sampler})

    def test_a_sampler_is_for_classes(self, toys):
        sampler = {'type': 'mmseg.OHEMPixelSampler'}
        with pytest.raises(InputError, match=r"sampler .*gt_edge.*output='classes'"):
            MODELS.build({**toys.head('edge'), 'sampler': sampler})

    def test_class_weights_are_those_of_torch(self, toys):
        weights = [0.5, *[1.0] * 19, 3.0]
        cfg = toys.head('semseg')
        cfg['loss_decode'] = {**cfg['loss_decode'], 'class_weight': weights}
        head = MODELS.build(cfg).eval()
        _, samples = toys.batch(['semseg'])
        samples[0].gt_semseg.data[:, 5:9] = 20
        maps = head(features())
        (loss,) = head.loss_by_feat(maps, samples).values()
        target = torch.stack([s.gt_semseg.data for s in samples])[:, 0]
        logits = F.interpolate(maps, (64, 64), mode='bilinear')
        expected = F.cross_entropy(logits, target, torch.tensor(weights), ignore_index=255)
        torch.testing.assert_close(loss, expected)

    @pytest.mark.parametrize('weights', [[1.0] * 20, [1.0] * 20 + [-1.0], [1.0] * 20 + ['x'], 3])
    def test_class_weights_must_be_one_number_a_class(self, weights, toys):
        cfg = toys.head('semseg')
        cfg['loss_decode'] = {**cfg['loss_decode'], 'class_weight': weights}
        with pytest.raises(InputError, match=r'class_weight .*gt_semseg'):
            MODELS.build(cfg)

    @pytest.mark.parametrize(
        'options', [{'loss_weight': -1}, {'loss_weight': float('nan')}, {'loss_name': 'edge'}]
    )
    def test_a_loss_that_would_not_train(self, options, toys):
        cfg = toys.head('edge')
        cfg['loss_decode'] = {**cfg['loss_decode'], **options}
        with pytest.raises(InputError, match=rf'{next(iter(options))} .*gt_edge'):
            MODELS.build(cfg)

    @pytest.mark.parametrize(
        ('options', 'kinds'),
        [
            ({}, {torch.nn.ReLU6}),
            ({'separable': False}, {torch.nn.ReLU}),
            ({'act_cfg': {'type': 'ReLU'}}, {torch.nn.ReLU}),
            ({'act_cfg': None}, set()),
        ],
    )
    def test_relu6_with_mobilenet_v2_unless_stated(self, options, kinds, toys):
        head = MODELS.build({**toys.head('semseg'), **options})
        found = [m for m in head.modules() if isinstance(m, torch.nn.ReLU | torch.nn.ReLU6)]
        assert {type(m) for m in found} == kinds
        assert len(found) == (0 if not kinds else 5 if options.get('separable', True) else 3)

    @pytest.mark.parametrize('ignore', [-9999.0, None])
    def test_values_are_ignored_as_the_loss_says(self, ignore, toys):
        cfg = toys.head('depth')
        cfg['loss_decode'] = {**cfg['loss_decode'], 'ignore': ignore}
        head = MODELS.build(cfg).eval()
        _, samples = toys.batch(['depth'])
        samples[0].gt_depth.data.fill_(0)
        assert head.is_labelled(samples[:1])  # 0 is a value like any other
        maps = head(features())
        (both,) = head.loss_by_feat(maps, samples).values()
        del samples[1].__dict__['gt_depth']
        samples[1]._data_fields.remove('gt_depth')
        (first,) = head.loss_by_feat(maps, samples).values()
        wide = F.interpolate(maps, (64, 64), mode='bilinear')
        torch.testing.assert_close(first, wide[0].abs().mean())
        assert both != first
        samples[0].gt_depth.data.fill_(float('nan') if ignore is None else ignore)
        assert not head.is_labelled(samples)


def test_a_readout_is_linear_in_the_context():
    head = MODELS.build(
        dict(type='ReadoutHead', in_channels=[8, 8], num_classes=1, output='value')
    ).eval()
    head.init_weights()
    low_level, context = features()
    weight, bias = head.conv_seg.weight[0, :, 0, 0], head.conv_seg.bias[0]
    expected = torch.einsum('nchw,c->nhw', context, weight) + bias
    torch.testing.assert_close(head((low_level, context))[:, 0], expected)
    wide = MODELS.build(dict(type='ReadoutHead', in_channels=[8, 4000], num_classes=1))
    wide.init_weights()
    assert wide.conv_seg.weight.std().item() == pytest.approx(0.5, abs=0.03)
