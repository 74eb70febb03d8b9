"""Pocket domains: the same bytes each time, splits without a common source, read as they are."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest

from mmbmtas.datasets import VisualDecathlon
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.pocket import DOMAINS, glyphs, pictures, solids, write_pocket_domains
from mmbmtas.pocket.pictures import SPLITS, STRIPS, TEXTURES

pytest.importorskip('sklearn')
pytest.importorskip('skimage')

PIPELINE = [{'type': 'LoadSampleImage'}, {'type': 'PackMultiTaskInputs'}]


def digest(folder):
    """Name and hash of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    """All domains with few images, written twice with one seed and once with another."""
    patch = pytest.MonkeyPatch()
    patch.setattr(glyphs, 'COUNTS', dict.fromkeys(SPLITS, 1))
    patch.setattr(solids, 'COUNTS', dict.fromkeys(SPLITS, 5))
    patch.setattr(pictures, 'TEXTURE_COUNTS', dict.fromkeys(SPLITS, 3))
    folder = tmp_path_factory.mktemp('pocket')
    counts = [
        write_pocket_domains(folder / name, seed=seed)
        for name, seed in (('a', 0), ('b', 0), ('c', 1))
    ]
    patch.undo()
    return folder, counts[0]


def test_a_seed_decides_every_byte(few):
    folder, _ = few
    once, twice, other = (digest(folder / name) for name in 'abc')
    assert once == twice
    assert {*once} == {*other}
    assert once != other


def test_classes_and_counts(few):
    folder, counts = few
    # scikit-learn and scikit-image state 1,797 digits and 200 faces; 47 glyphs are EMNIST's.
    assert sum(counts['digits'].values()) == 1797
    assert counts['faces'] == {'train': 120, 'val': 40, 'test': 40}
    assert counts['textures'] == dict.fromkeys(SPLITS, 30)
    assert counts['glyphs'] == {'train': 12 * 47, 'val': 4 * 47, 'test': 4 * 47}
    assert counts['solids'] == dict.fromkeys(SPLITS, 5)
    classes = {name: len(domain.classes) for name, domain in DOMAINS.items()}
    assert classes == {'digits': 10, 'faces': 2, 'textures': 10, 'glyphs': 47, 'solids': 6}
    for name, number in classes.items():
        for split in ('train', 'val'):
            document = json.loads((folder / f'a/annotations/{name}_{split}.json').read_text())
            assert len(document['categories']) == number
            if name != 'solids':
                found = {entry['category_id'] for entry in document['annotations']}
                assert len(found) == number


def test_no_source_is_in_two_splits():
    for name in ('digits', 'faces'):
        sources = [
            {p.source for p in DOMAINS[name].draw(split, np.random.default_rng(3), 16)}
            for split in SPLITS
        ]
        assert not any(a & b for i, a in enumerate(sources) for b in sources[:i])
        assert sum(map(len, sources)) == {'digits': 1797, 'faces': 200}[name]
    fonts = [font for split in SPLITS for font in glyphs.FONTS[split]]
    assert len(fonts) == len({*fonts}) == 20
    strips = sorted(STRIPS.values())
    assert strips[0][0] == 0
    assert strips[-1][1] == 1
    assert all(a[1] == b[0] for a, b in pairwise(strips))
    assert len(TEXTURES) == 10


def test_the_windows_of_a_texture_lie_in_their_strip(monkeypatch):
    from skimage import data

    columns = np.broadcast_to(np.arange(200, dtype=np.uint8), (60, 200))
    for name in TEXTURES:
        monkeypatch.setattr(data, name, lambda: columns)
    for split, (first, last) in STRIPS.items():
        if (last - first) * 200 < 48:
            continue
        for picture in pictures.draw_textures(split, np.random.default_rng(0), 48):
            assert first * 200 <= picture.image.min()
            assert picture.image.max() < last * 200


def test_they_are_read_as_the_visual_decathlon_is(few):
    folder, counts = few
    for name in DOMAINS:
        data = VisualDecathlon(folder / 'a', name, 'train', pipeline=PIPELINE)
        assert len(data) == counts[name]['train']
        document = json.loads((folder / f'a/annotations/{name}_train.json').read_text())
        titles = [entry['name'] for entry in document['categories']]
        assert [*data.metainfo['classes'][name]] == titles
        sample = data[7 % len(data)]
        expected = document['annotations'][7 % len(data)]['category_id']
        ids = [entry['id'] for entry in document['categories']]
        assert sample['data_samples'].domain == name
        assert ids[int(sample['data_samples'].get(f'gt_{name}').label)] == expected
        assert sample['inputs'].shape == (3, 32, 32)
        test = VisualDecathlon(folder / 'a', name, 'test', pipeline=PIPELINE)
        assert f'gt_{name}' not in test[0]['data_samples']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'domains': ['digits', 'letters']}, 'letters.*out of'),
        ({'domains': []}, 'expected different ones'),
        ({'size': 4}, 'size 4'),
        ({'seed': -1}, 'seed -1'),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write_pocket_domains(tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists()


class TestBrokenFiles:
    @pytest.fixture
    def small(self, tmp_path):
        """A data set of two images in two classes, and its document."""
        from PIL import Image

        (tmp_path / 'annotations').mkdir()
        (tmp_path / 'data/dtd').mkdir(parents=True)
        document = {
            'categories': [{'id': 7, 'name': 'banded'}, {'id': 3, 'name': 'dotted'}],
            'images': [{'id': k, 'file_name': f'data/dtd/{k}.png'} for k in (1, 2)],
            'annotations': [{'image_id': 2, 'category_id': 3}, {'image_id': 1, 'category_id': 7}],
        }
        for k in (1, 2):
            Image.new('RGB', (72, 80)).save(tmp_path / f'data/dtd/{k}.png')
        return tmp_path, document

    @staticmethod
    def open(small, **options):
        folder, document = small
        (folder / 'annotations/dtd_train.json').write_text(json.dumps(document))
        return VisualDecathlon(folder, 'dtd', **options)

    def test_labels_are_positions_in_the_categories(self, small):
        data = self.open(small)
        assert [data.get_data_info(k)['gt_dtd'] for k in (0, 1)] == [0, 1]

    def test_names_become_identifiers(self, small):
        folder, document = small
        (folder / 'annotations/vgg-flowers_train.json').write_text(json.dumps(document))
        data = VisualDecathlon(folder, 'vgg-flowers')
        assert data.metainfo['tasks'] == ('vgg_flowers',)
        assert data.get_data_info(0)['domain'] == 'vgg_flowers'

    def test_a_missing_image_is_named(self, small):
        (small[0] / 'data/dtd/2.png').unlink()
        with pytest.raises(MissingFileError, match=r'1 of 2 images .*dtd_train.json.*2\.png'):
            self.open(small)

    def test_a_missing_file_is_named(self, small):
        with pytest.raises(MissingFileError, match=r'dtd_val\.json is missing'):
            self.open(small, split='val')

    def test_a_stripped_file_is_for_tests_only(self, small):
        del small[1]['annotations']
        with pytest.raises(InputError, match=r'dtd_train\.json has no annotations'):
            self.open(small)

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda d: d.pop('images'), r'images: found None'),
            (lambda d: d.update(images=[]), r'images: found \[\]'),
            (lambda d: d.pop('categories'), r'categories: found None'),
            (lambda d: d['categories'][1].update(id=7), r'categories: two entries have the id 7'),
            (lambda d: d['images'][1].update(id=1), r'images: two entries have the id 1'),
            (lambda d: d['images'][0].pop('file_name'), r'images\[0\]\.file_name: found None'),
            (lambda d: d['images'][0].update(file_name='../x.png'), r'images\[0\]\.file_name'),
            (lambda d: d['annotations'].pop(), r'image 1 has no entry in annotations'),
            (lambda d: d['annotations'][0].update(category_id=4), r'annotations\[0\].category_id'),
            (lambda d: d['annotations'][0].update(image_id=9), r'annotations\[0\].image_id'),
            (lambda d: d['annotations'].append(d['annotations'][0]), r'already has a class'),
            (lambda d: d['annotations'][0].update(category_id='7'), r"found '7'"),
        ],
    )
    def test_a_wrong_entry_is_named(self, small, change, message):
        change(small[1])
        with pytest.raises(InputError, match=rf'dtd_train\.json: .*{message}|{message}'):
            self.open(small)

    def test_no_json_is_said(self, small):
        (small[0] / 'annotations/dtd_train.json').write_text('{')
        with pytest.raises(InputError, match=r'dtd_train\.json is not a JSON file'):
            VisualDecathlon(small[0], 'dtd')
