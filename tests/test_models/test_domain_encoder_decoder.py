"""Networks of several domains: each image on its path alone, whatever else is in the batch."""

import copy

import pytest
import torch

from mmbmtas.cost import count_madds
from mmbmtas.errors import InputError
from mmbmtas.paths.domain_encoder_decoder import take_rows
from mmbmtas.structures import is_zero
from mmbmtas.structures.data_sample import MultiTaskDataSample

DOMAINS = {'digits': ['digits'], 'rooms': ['semseg', 'depth'], 'roads': ['edge']}


def build(toys, domains=DOMAINS, seed=0, **options):
    torch.manual_seed(seed)
    model = toys.build({**toys.path_config(domains), **options})
    model.init_weights()
    return model


def of_domain(batch, domain):
    images, samples = batch
    rows = [row for row, sample in enumerate(samples) if sample.domain == domain]
    return images[rows], [samples[row] for row in rows]


class TestMixedBatches:
    def test_losses_are_those_of_each_domain_alone(self, toys):
        model = build(toys).eval()
        batch = toys.domain_batch(DOMAINS)
        mixed = model.loss(*batch)
        assert {name.partition('.')[0] for name in mixed} == {'digits', 'semseg', 'depth', 'edge'}
        for domain, tasks in DOMAINS.items():
            alone = model.loss(*of_domain(batch, domain))
            assert {name.partition('.')[0] for name in alone} == {*tasks}
            for name, value in alone.items():
                torch.testing.assert_close(mixed[name], value)

    def test_predictions_are_those_of_each_image_alone(self, toys):
        model = build(toys).eval()
        images, samples = toys.domain_batch(DOMAINS)
        with torch.no_grad():
            mixed = model.predict(images, copy.deepcopy(samples))
            for row, sample in enumerate(samples):
                (alone,) = model.predict(images[row : row + 1], [copy.deepcopy(sample)])
                tasks = DOMAINS[sample.domain]
                predicted = {key for key in mixed[row].all_keys() if key.startswith('pred_')}
                assert predicted == {f'pred_{task}' for task in tasks}
                for task in tasks:
                    one, other = mixed[row].get(f'pred_{task}'), alone.get(f'pred_{task}')
                    key = 'score' if task == 'digits' else 'data'
                    torch.testing.assert_close(one.get(key), other.get(key))

    def test_a_domain_gets_no_gradient_from_another(self, toys):
        model = build(toys)
        losses = model.loss(*of_domain(toys.domain_batch(DOMAINS), 'digits'))
        sum(v for k, v in losses.items() if 'loss' in k).backward()
        for task in ('semseg', 'depth', 'edge'):
            assert all(p.grad is None for p in model.decode_heads[task].parameters())
        assert all(p.grad is not None for p in model.decode_heads['digits'].parameters())

    def test_images_without_a_label_add_nothing(self, toys):
        model = build(toys)
        images, samples = toys.domain_batch(DOMAINS)
        for sample in samples:
            if sample.domain == 'rooms':
                del sample.gt_depth
        losses = model.loss(images, samples)
        assert {name.partition('.')[0] for name in losses} == {'digits', 'semseg', 'edge'}

    def test_labels_of_another_domain_are_not_its(self, toys):
        model = build(toys)
        batch = of_domain(toys.domain_batch(DOMAINS), 'digits')
        for sample in batch[1]:
            sample.set_data({'gt_edge': toys.sample(['edge']).gt_edge})
        assert {name.partition('.')[0] for name in model.loss(*batch)} == {'digits'}

    def test_a_batch_without_labels_has_a_loss_of_zero(self, toys):
        model = build(toys)
        images, samples = of_domain(toys.domain_batch(DOMAINS), 'digits')
        for sample in samples:
            del sample.gt_digits
        losses = model.loss(images, samples)
        assert [*losses] == ['loss_unlabelled']
        assert losses['loss_unlabelled'] == 0

    def test_balancing_counts_domains(self, toys):
        model = build(toys, ['digits', 'faces'], loss_balancing={'type': 'ABDP'})
        losses = model.loss(*toys.domain_batch(['digits', 'faces']))
        total, _ = model.parse_losses(losses)
        expected = sum(value for name, value in losses.items() if name.endswith('.objective'))
        torch.testing.assert_close(total, expected)
        assert model.loss_balancing.counts.tolist() == [1, 1]


@pytest.mark.parametrize('rows', [[3], [0, 1, 2], [1, 3, 5], [0, 3], [0, 1, 5]])
def test_images_are_taken_as_a_view_where_they_can(rows):
    inputs = torch.randn(6, 3, 2, 2)
    found = take_rows(inputs, rows)
    assert torch.equal(found, inputs[torch.tensor(rows)])
    assert (found.untyped_storage().data_ptr() == inputs.untyped_storage().data_ptr()) == (
        rows != [0, 1, 5]
    )


class TestWhoseImages:
    def test_the_caller_says(self, toys):
        model = build(toys).eval()
        images = torch.randn(1, 3, 64, 64)
        model.domain = 'roads'
        with torch.no_grad():
            (found,) = model.predict(images)
            (stated,) = model.predict(images, [toys.sample([], domain='roads')])
        assert torch.equal(found.pred_edge.data, stated.pred_edge.data)
        assert 'pred_semseg' not in found

    def test_nobody_says(self, toys):
        with pytest.raises(InputError, match=r"of no domain: expected one of .*'roads'"):
            build(toys).predict(torch.randn(1, 3, 64, 64))

    def test_a_network_that_knows_no_domains_is_refused(self, toys):
        config = {**toys.path_config(DOMAINS), 'type': 'MultiTaskEncoderDecoder'}
        with pytest.raises(InputError, match=r"all domains of its PathNetwork: .*'DomainEncoder"):
            toys.build(config)
        one = {'rooms': ['semseg', 'depth']}
        config = {**toys.path_config(one), 'type': 'MultiTaskEncoderDecoder'}
        images, samples = toys.domain_batch(one)
        found = toys.build(config).loss(images, samples)  # of one path it is as good
        assert {name.partition('.')[0] for name in found} == {'semseg', 'depth'}

    def test_the_only_domain_needs_no_name(self, toys):
        (found,) = build(toys, ['digits']).eval().predict(torch.randn(1, 3, 64, 64))
        assert found.pred_digits.score.shape == (3,)

    def test_an_unknown_domain(self, toys):
        model = build(toys)
        with pytest.raises(InputError, match='birds'):
            model.domain = 'birds'
        sample = MultiTaskDataSample(metainfo={'domain': 'birds', 'img_path': 'a.png'})
        with pytest.raises(InputError, match=r"a\.png: domain 'birds'"):
            model.predict(torch.randn(1, 3, 64, 64), [sample])

    def test_all_domains_of_one_image(self, toys):
        model = build(toys).eval()
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            maps = model.encode_decode(images)
            assert maps.keys() == {'digits', 'semseg', 'depth', 'edge'}
            for domain, tasks in DOMAINS.items():
                alone = model.for_domain(domain)
                assert alone.tasks == tuple(tasks)
                found = alone.encode_decode(images)
                assert found.keys() == {*tasks}
                for task in tasks:
                    torch.testing.assert_close(found[task], maps[task], rtol=1e-4, atol=1e-5)


class TestCosts:
    def test_four_ways_to_count(self, toys):
        model = build(toys)
        cost = model.measure_paths()
        architecture = model.backbone.architecture
        found = cost.paths(architecture)
        image = torch.empty(1, 3, 64, 64)
        for domain, expected in zip(architecture.domains, found.per_domain, strict=True):
            alone = model.for_domain(domain)
            assert alone.measure_network().madds == expected
        assert found.sum == sum(found.per_domain)
        shared = build(
            toys, backbone={**toys.path_config(DOMAINS)['backbone'], 'norm_statistics': 'shared'}
        )
        assert shared.measure_network().madds == found.prefix
        params = cost.paths(architecture, 'params')
        assert params.union == sum(p.numel() for p in model.parameters())
        assert found.union <= found.prefix <= found.sum
        stem = count_madds(shared.backbone.stem, image).madds
        assert stem == cost.stem.madds

    def test_costs_of_copies_are_refused(self, toys):
        with pytest.raises(InputError, match='candidates per layer'):
            build(toys).measure_cost()


class TestSearch:
    def search(self, toys, domains=('digits', 'faces'), **options):
        torch.manual_seed(0)
        model = toys.build(toys.path_search_config(domains, **options))
        model.init_weights()
        return model

    def test_losses_follow_the_paths(self, toys):
        model = self.search(toys)
        batch = toys.domain_batch(['digits', 'faces'])
        paths = {'digits': (0, 1, 2, 3, 4), 'faces': (7, 6, 5, 4, 3)}
        losses = model(*batch, mode='loss', paths=paths)
        for domain in paths:
            images, samples = of_domain(batch, domain)
            features = model.backbone(images, domain, paths[domain])
            head = model.decode_heads[domain]
            expected = head.loss_by_feat(head(features), samples)
            for name, value in expected.items():
                torch.testing.assert_close(losses[f'{domain}.{name}'], value)

    def test_drawn_paths_repeat(self, toys):
        model = self.search(toys)
        drawn = [model.sample_paths(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert [*drawn[0]] == ['digits', 'faces']

    def test_quality_is_the_accuracy(self, toys):
        model = self.search(toys).train()
        images, samples = toys.domain_batch(['digits', 'faces'], count=8)
        paths = model.sample_paths(torch.Generator().manual_seed(0))
        before = copy.deepcopy(model.state_dict())
        found = model.quality(images, samples, paths)
        assert model.training
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        for domain in paths:
            own, labels = of_domain((images, samples), domain)
            with torch.no_grad():
                logits = model.decode_heads[domain](model.backbone(own, domain, paths[domain]))
            hits = [
                int(row.argmax() == s.get(f'gt_{domain}').label)
                for row, s in zip(logits, labels, strict=True)
            ]
            assert found[domain] == sum(hits) / 8

    def test_quality_of_maps(self, toys):
        """Perfect predictions are worth 1, of every kind of map."""
        model = self.search(toys, DOMAINS)
        images, samples = toys.domain_batch(DOMAINS)
        found = model.quality(images, samples, model.sample_paths())
        assert all(0 <= value <= 1 for value in found.values())

    def test_quality_needs_labels(self, toys):
        model = self.search(toys)
        images, samples = toys.domain_batch(['digits', 'faces'])
        for sample in samples:
            sample.pop('gt_faces', None)
        with pytest.raises(InputError, match="domain 'faces'"):
            model.quality(images, samples, model.sample_paths())

    def test_costs(self, toys):
        model = self.search(toys)
        encoder = model.backbone.encoder
        assert model.candidate_costs.shape == model.candidate_params.shape == (5, 8)
        assert model.candidate_costs.dtype == torch.float64
        x = model.backbone.stem(torch.zeros(1, 3, 64, 64))
        for candidate in (0, 7):
            built = encoder.build_candidate(0, candidate)
            assert model.candidate_costs[0, candidate] == count_madds(built, x).madds
        architecture = model.export_architecture()
        table = model.candidate_costs
        paths = architecture.routing.values()
        own = [sum(float(table[layer, c]) for layer, c in enumerate(path)) for path in paths]
        fixed = [model.network_cost.fixed_of(domain).madds for domain in architecture.domains]
        assert architecture.madds['per_domain'] == [a + b for a, b in zip(own, fixed, strict=True)]

    def test_a_search_is_retrained(self, toys):
        model = self.search(toys)
        architecture = model.export_architecture('here')
        config = toys.path_config(['digits', 'faces'])
        config['backbone']['architecture'] = architecture.to_dict()
        network = toys.build(config)
        assert network.backbone.architecture == architecture
        assert not any(
            is_zero(layer[0]) for layer in architecture.candidates
        )  # the first of a block never lacks
        network.parse_losses(network.loss(*toys.domain_batch(['digits', 'faces'])))[0].backward()
