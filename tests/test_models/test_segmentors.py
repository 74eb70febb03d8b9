"""The multi-task segmentors: tasks, labels that lack, predictions, costs, what is refused."""

import math

import pytest
import torch
from mmengine.structures import PixelData
from torch import nn
from torch.nn import functional as F

from mmbmtas.cost import expected_madds
from mmbmtas.registry import MODELS
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.structures.data_sample import MultiTaskDataSample

THREE = ('semseg', 'normals', 'edge')


@pytest.fixture(params=['branched', 'search'])
def config(request, toys):
    """Function that makes a config for some tasks."""
    return getattr(toys, f'{request.param}_config')


def train_step(model, images, samples):
    model.train()
    total, log = model.parse_losses(model(images, samples, mode='loss'))
    total.backward()
    return total, log


class TestLoss:
    def test_all_six_tasks(self, toys, config):
        model = toys.build(config(toys.SIX))
        total, log = train_step(model, *toys.batch(toys.SIX, size=(32, 32)))
        tasks = {key.split('.')[0] for key in log} - {'loss', 'loss_resource'}
        assert tasks == set(toys.SIX)
        parts = [value for key, value in log.items() if key != 'loss']
        torch.testing.assert_close(total.detach(), sum(parts))
        assert all(p.grad is not None for p in model.parameters())
        assert ('loss_resource' in log) == hasattr(model.backbone, 'arch_params')

    def test_one_task(self, toys, config):
        model = toys.build(config(['depth']))
        _, log = train_step(model, *toys.batch(['depth']))
        assert {'depth.loss_l1', 'loss'} <= set(log)

    def test_sixteen_tasks(self, toys):
        tasks = [f'task{i}' for i in range(16)]
        model = toys.build(toys.branched_config(tasks))
        _, log = train_step(model, *toys.batch(tasks, size=(32, 32)))
        assert {f'{task}.loss_ce' for task in tasks} <= set(log)

    @pytest.mark.slow
    def test_search_of_sixteen_tasks(self, toys):
        tasks = [f'task{i}' for i in range(16)]
        model = toys.build(toys.search_config(tasks))
        _, log = train_step(model, *toys.batch(tasks, size=(32, 32)))
        assert {'loss_resource', *(f'{task}.loss_ce' for task in tasks)} <= set(log)

    def test_images_without_a_label_count_for_nothing(self, toys, config):
        model = toys.build(config(THREE))
        images, samples = toys.batch(THREE)
        samples[0] = toys.sample(['semseg'])
        losses = model(images, samples, mode='loss')
        assert {'semseg.loss_ce', 'normals.loss_l1', 'edge.loss_bce'} <= set(losses)

    def test_a_task_without_any_label_is_skipped(self, toys, config):
        model = toys.build(config(THREE))
        images, samples = toys.batch(THREE[:2])
        _, log = train_step(model, images, samples)
        assert not any(key.startswith('edge') for key in log)
        assert all(p.grad is None for p in model.decode_heads['edge'].parameters())
        assert all(p.grad is not None for p in model.decode_heads['semseg'].parameters())

    def test_a_task_with_ignored_pixels_only_is_skipped(self, toys, config):
        model = toys.build(config(THREE))
        _, samples = toys.batch(THREE)
        for sample in samples:
            sample.gt_normals.data.zero_()
        assert model.labelled_tasks(samples) == ['semseg', 'edge']

    def test_a_batch_without_labels_is_a_zero_that_can_be_trained_on(self, toys, config):
        model = toys.build(config(THREE))
        images, samples = toys.batch([])
        total, log = train_step(model, images, samples)
        assert total == log.get('loss_resource', 0)
        assert all(p.grad is None or (p.grad == 0).all() for p in model.decode_heads.parameters())

    def test_another_rank_decides_as_well(self, toys, config, monkeypatch):
        """A task that another rank has labels for gets a gradient here too, of zeros."""
        monkeypatch.setattr('mmengine.dist.get_world_size', lambda: 2)
        monkeypatch.setattr('mmengine.dist.all_reduce', lambda flags, op: flags.fill_(1))
        model = toys.build(config(THREE))
        images, samples = toys.batch(['semseg'])
        _, log = train_step(model, images, samples)
        assert log['edge.loss_unlabelled'] == 0
        assert all((p.grad == 0).all() for p in model.decode_heads['edge'].parameters())

    @pytest.mark.parametrize('value', [math.nan, math.inf])
    def test_a_loss_that_is_not_finite_is_named(self, toys, config, value):
        model = toys.build(config(THREE))
        with torch.no_grad():
            model.decode_heads['normals'].conv_seg.bias.fill_(value)
        images, samples = toys.batch(THREE)
        with pytest.raises(FloatingPointError, match='non-finite loss') as caught:
            train_step(model, images, samples)
        assert 'normals.loss_l1' in str(caught.value)
        assert 'semseg' not in str(caught.value)


class AngleLoss(nn.Module):
    """A user's own loss."""

    loss_name = 'loss_angle'

    def forward(self, pred, target, weight=None, ignore_index=255):
        return (pred.squeeze(1) - target).square()[target != 0].mean()


class TestExtraTask:
    @pytest.fixture
    def head(self, toys):
        if 'AngleLoss' not in MODELS:
            MODELS.register_module(module=AngleLoss)
        return {
            **toys.head('depth'),
            'target_key': 'gt_tilt_map',
            'loss_decode': {'type': 'mmbmtas.AngleLoss'},
        }

    def test_target_key_and_loss_of_its_own(self, toys, config, head):
        heads = {'semseg': toys.head('semseg'), 'tilt': head}
        if config is toys.branched_config:
            cfg = config(heads, heads=heads)
        else:
            cfg = config([*heads], heads=heads)
        model = toys.build(cfg)
        images, samples = toys.batch(['semseg'])
        tilt = torch.randn(1, 64, 64)
        samples[1].set_data({'gt_tilt_map': PixelData(data=tilt)})
        _, log = train_step(model, images, samples)
        assert {'semseg.loss_ce', 'tilt.loss_angle'} <= set(log)
        model.eval()
        predictions = model(images, samples, mode='predict')
        assert predictions[0].pred_tilt.data.shape == (1, 64, 64)


class TestPredict:
    @pytest.fixture
    def model(self, toys):
        model = toys.build(toys.branched_config(toys.SIX)).eval()
        toys.randomise(model)
        return model

    def test_types_and_shapes(self, toys, model):
        images, samples = toys.batch(toys.SIX)
        with torch.no_grad():
            samples = model(images, samples, mode='predict')
        kinds = {task: samples[0].get(f'pred_{task}').data for task in toys.SIX}
        assert {t: (x.dtype, *x.shape) for t, x in kinds.items()} == {
            'semseg': (torch.int64, 1, 64, 64),
            'human_parts': (torch.int64, 1, 64, 64),
            'saliency': (torch.float32, 1, 64, 64),
            'normals': (torch.float32, 3, 64, 64),
            'edge': (torch.float32, 1, 64, 64),
            'depth': (torch.float32, 1, 64, 64),
        }
        torch.testing.assert_close(kinds['normals'].norm(dim=0), torch.ones(64, 64))
        assert ((kinds['edge'] >= 0) & (kinds['edge'] <= 1)).all()

    def test_padding_is_cut_off_and_the_original_size_restored(self, toys, model):
        images, _ = toys.batch([])
        padding, size = (3, 5, 9, 2), (100, 41)  # left, top, right, bottom
        samples = [
            MultiTaskDataSample(metainfo={'padding': padding, 'ori_shape': size}),
            MultiTaskDataSample(metainfo={'padding': (0, 0, 0, 0), 'ori_shape': (64, 64, 3)}),
        ]
        with torch.no_grad():
            found = model(images, samples, mode='predict')
            maps = model.encode_decode(images)
        part = maps['depth'][:1, :, 5:62, 3:55]
        expected = F.interpolate(part, size, mode='bilinear')[0]
        torch.testing.assert_close(found[0].pred_depth.data, expected)
        torch.testing.assert_close(found[1].pred_depth.data, maps['depth'][1])
        logits = F.interpolate(maps['semseg'][:1, :, 5:62, 3:55], size, mode='bilinear')[0]
        assert torch.equal(found[0].pred_semseg.data[0], logits.argmax(0))

    def test_where_padding_cuts_nothing_of_the_image(self, toys, model):
        """What is predicted inside does not depend on how the padded input is labelled."""
        images, _ = toys.batch([])
        sample = MultiTaskDataSample(metainfo={'padding': (0, 0, 14, 7), 'ori_shape': (57, 50)})
        with torch.no_grad():
            (found,) = model(images[:1], [sample], mode='predict')
            whole = model.encode_decode(images[:1])
        torch.testing.assert_close(found.pred_edge.data, whole['edge'][0, :, :57, :50].sigmoid())

    def test_without_samples(self, toys, model):
        images, _ = toys.batch([])
        with torch.no_grad():
            found = model(images, None, mode='predict')
        assert found[1].pred_semseg.data.shape == (1, 64, 64)

    def test_raw_maps(self, toys, model):
        images, _ = toys.batch([])
        maps = model(images, mode='tensor')
        assert {t: tuple(x.shape) for t, x in maps.items()} == {
            t: (2, model.decode_heads[t].num_classes, 16, 16) for t in toys.SIX
        }

    def test_odd_input_sizes(self, toys, model):
        with torch.no_grad():
            maps = model.encode_decode(torch.randn(1, 3, 53, 70))
        assert {x.shape[2:] for x in maps.values()} == {(53, 70)}


@pytest.mark.parametrize('encoder', ['MOBILENET', 'TINY'])
def test_decoders_take_the_channels_of_the_encoder(toys, encoder):
    """The network is the one whose decoders state them."""
    encoder = getattr(toys, encoder)
    stated = toys.search_config(THREE, encoder)
    silent = toys.search_config(THREE, encoder)
    silent['decode_heads'] = {
        task: {key: value for key, value in head.items() if key != 'in_channels'}
        for task, head in silent['decode_heads'].items()
    }
    silent['decode_heads']['edge']['in_channels'] = None
    one, other = (MODELS.build(cfg) for cfg in (stated, silent))
    shapes = [{k: v.shape for k, v in model.state_dict().items()} for model in (one, other)]
    assert shapes[0] == shapes[1]
    assert 'in_channels' not in silent['decode_heads']['semseg']  # the config stays


class TestRefused:
    def test_heads_for_another_encoder(self, toys, config):
        broken = config(THREE)
        broken['decode_heads']['edge']['in_channels'] = [256, 256]
        with pytest.raises(ValueError, match=r'edge\.in_channels \[256, 256\]: the MobileNetV2E'):
            MODELS.build(broken)

    def test_heads_for_other_tasks(self, toys, config):
        heads = {task: toys.head(task) for task in ('semseg', 'depth')}
        with pytest.raises(ValueError, match='the backbone is for the tasks') as caught:
            toys.build(config(THREE, heads=heads))
        assert str([*THREE]) in str(caught.value)
        assert str([*heads]) in str(caught.value)
        assert 'decode_heads' in str(caught.value)

    def test_checkpoints_of_another_tree(self, toys):
        one, other = (
            toys.build(toys.branched_config(THREE, tree=toys.random_tree(THREE, seed=seed)))
            for seed in (0, 1)
        )
        with pytest.raises(ValueError, match='another tree than the config'):
            other.load_state_dict(one.state_dict(), strict=False)

    @pytest.mark.parametrize('target', [1e5, 1e12])
    def test_targets_out_of_reach(self, toys, target):
        with pytest.raises(ValueError, match=r'target_madds .* out of reach') as caught:
            toys.build(toys.search_config(THREE, target_madds=target))
        assert f'{target:,.0f}' in str(caught.value)

    def test_targets_within_reach(self, toys):
        cost = toys.build(toys.branched_config(THREE)).measure_cost()
        for end in (cost.shared(), cost.all_apart()):
            toys.build(toys.search_config(THREE, target_madds=end.madds))

    def test_a_limit_may_be_above_all_trees_but_not_below(self, toys):
        toys.build(toys.search_config(THREE, target_madds=1e12, at_most=True))
        with pytest.raises(ValueError, match='out of reach'):
            toys.build(toys.search_config(THREE, target_madds=1e5, at_most=True))

    def test_targets_of_latency(self, toys):
        table = toys.latency_table(THREE)
        shared = 0.5 + 2 + 3 + 4 + sum(row[0] for row in table['layers_ms'])
        for target, fits in ((shared + 1, True), (shared - 1, False), (10 * shared, False)):
            config = toys.search_config(THREE, latency=table, target_latency_ms=target)
            if fits:
                toys.build(config)
            else:
                with pytest.raises(
                    ValueError, match=r'target_latency_ms .* out of reach'
                ) as caught:
                    toys.build(config)
                assert f'{target:.2f}' in str(caught.value)
                assert f'{shared:.2f}' in str(caught.value)

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            ({'tasks': ['semseg', 'depth', 'edge']}, "another list of tasks .*'depth'"),
            (
                {'encoder': {'type': 'ResNetEncoder', 'depth': 18}},
                'another encoder .*ResNetEncoder',
            ),
            ({'shape': [64, 128]}, r'another input size .*\(64, 128\), expected \(64, 64\)'),
            ({'layers_ms': [[1, 2, 3]] * 17}, 'another number of layers .* 17, expected 18'),
        ],
    )
    def test_latency_of_another_network(self, toys, change, message):
        table = toys.latency_table(THREE) | change
        table['decoders_ms'] = dict.fromkeys(table['tasks'], 1.0)
        with pytest.raises(ValueError, match=message):
            toys.build(toys.search_config(THREE, latency=table))


class TestSearch:
    @pytest.fixture
    def model(self, toys):
        return toys.build(toys.search_config(THREE, weight=2.0))

    def test_resource_loss_is_measured_at_cost_shape(self, toys, model):
        images, samples = toys.batch(THREE, size=(32, 48))
        losses = model(images, samples, mode='loss')
        cost = model.measure_cost((64, 64))
        expected = 2 * expected_madds(model.backbone.routing_probs(), cost.layer_madds) / 1e9
        torch.testing.assert_close(losses['loss_resource'], expected)

    def test_chosen_tasks_only(self, toys, model):
        images, samples = toys.batch(THREE)
        losses = model(images, samples, mode='loss', tasks=['edge'])
        assert set(losses) == {'edge.loss_bce'}
        losses = model(images, samples, mode='loss', tasks=['edge'], with_resource_loss=True)
        assert set(losses) == {'edge.loss_bce', 'loss_resource'}

    def test_no_task_at_all(self, toys, model):
        """An architecture iteration on a batch without labels still has the resource loss."""
        images, samples = toys.batch([])
        losses = model(images, samples, mode='loss', tasks=[], with_resource_loss=True)
        total, log = model.parse_losses(losses)
        total.backward()
        assert total == log['loss_resource']

    def test_exported_tree_states_its_cost(self, toys, model):
        toys.route(model.backbone, toys.random_routing(THREE, 18, 1))
        tree = model.export_architecture('here')
        again = BranchedArchitecture.from_dict(tree.to_dict())
        network = toys.build(toys.branched_config(THREE, tree=again))
        cost = network.measure_cost().tree(network.backbone.architecture)
        assert tree.madds['network'] == cost.madds
        assert tree.madds['network_paper'] == cost.madds_paper
        assert tree.madds['shape'] == [64, 64]
        assert cost.params == sum(p.numel() for p in network.parameters())
        assert again.source == 'here'


def test_costs_leave_the_model_alone(toys, config):
    model = toys.build(config(THREE)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    model.measure_cost((128, 96))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert {p.device.type for p in model.parameters()} == {'cpu'}
