"""What a user gets wrong with domains: one error that names it, before work begins."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from mmbmtas import launch
from mmbmtas.apis import MultiTaskInferencer
from mmbmtas.errors import InputError
from mmbmtas.launch.library_errors import mistake_seen_by_library
from mmbmtas.launch.tree_config import read_tree_config

CONFIGS = Path(__file__).parents[2] / 'configs' / 'mpnas'
CLASSES = {'digits': 10, 'faces': 2}
SMALL = {'tasks': [*CLASSES], 'total_batch_size': 4, 'val_dataloader.batch_size': 4}


@pytest.fixture
def root(tmp_path):
    """A folder of two domains to spoil: grey, RGB and RGBA images, two of each class."""
    rng = np.random.default_rng(0)
    for domain, count in CLASSES.items():
        for split in ('train', 'val'):
            (tmp_path / 'data' / domain / split).mkdir(parents=True)
            document = {'images': [], 'annotations': []}
            document['categories'] = [{'id': 50 + c, 'name': f'c{c}'} for c in range(count)]
            for number in range(2 * count):
                shape = [(32, 32), (31, 29, 3), (40, 33, 4)][number % 3]
                name = f'data/{domain}/{split}/{number}.png'
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name)
                document['images'].append({'id': number, 'file_name': name})
                entry = {'image_id': number, 'category_id': 50 + number % count}
                document['annotations'].append(entry)
            write(tmp_path, domain, split, document)
    return tmp_path


@pytest.fixture
def runner(root, monkeypatch):
    """Build the runner of a config of the pocket domains, made small."""
    monkeypatch.chdir(root)
    monkeypatch.setenv('LOCAL_RANK', '0')
    before = DefaultScope._instance_dict.copy()

    def build(name, strict=False, **options):
        cfg = launch.read_config(str(CONFIGS / name), {**SMALL, 'data_root': str(root), **options})
        return launch.build_runner(cfg, strict)

    yield build
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


def place(root, domain, split):
    return root / 'annotations' / f'{domain}_{split}.json'


def write(root, domain, split, document):
    place(root, domain, split).parent.mkdir(exist_ok=True)
    place(root, domain, split).write_text(json.dumps(document))


def spoil(root, domain, split, change):
    document = json.loads(place(root, domain, split).read_text())
    change(document)
    write(root, domain, split, document)


def add_class(document):
    document['categories'].append({'id': 99, 'name': 'new'})


def turn_round(document):
    document['categories'].reverse()


def rename(document):
    document['categories'][0]['name'] = 'other'


def renumber(document):
    document['categories'][0]['id'] = 7
    for entry in document['annotations']:
        entry['category_id'] = {50: 7}.get(entry['category_id'], entry['category_id'])


@pytest.mark.parametrize(
    ('split', 'change', 'message'),
    [
        ('train', add_class, r'decode_heads\.faces\.num_classes 2: .*train_dataloader have 3 cla'),
        ('val', add_class, r'decode_heads\.faces\.num_classes 2: .*val_dataloader have 3 classes'),
        ('val', turn_round, r"val_dataloader: the classes of faces are \['c1', 'c0'\], but train"),
        ('val', rename, r"the classes of faces are \['other', 'c1'\], but train_dataloader has"),
        ('val', renumber, r'the ids of classes of faces are \[7, 51\], but train_dataloader has'),
    ],
)
def test_classes_that_are_counted_differently(runner, root, split, change, message):
    spoil(root, 'faces', split, change)
    with pytest.raises(InputError, match=message):
        runner('paths_pocket.py', max_iters=2).train()
    assert not [*root.rglob('*.pth')]


def test_classes_other_than_those_of_a_checkpoint(runner, root):
    runner('paths_pocket.py', max_iters=1).train()
    (weights,) = root.rglob('iter_1.pth')
    for split in ('train', 'val'):
        spoil(root, 'faces', split, turn_round)
    turned = r"dataloader: the classes of faces are \['c1', 'c0'\], but the checkpoint has \['c0'"
    with pytest.raises(InputError, match=f'test_{turned}'):
        runner('paths_pocket.py', strict=True, load_from=str(weights)).test()
    with pytest.raises(InputError, match=f'train_{turned}'):
        runner(
            'paths_pocket.py', strict=True, load_from=str(weights), resume=True, max_iters=2
        ).train()
    # Weights to begin from may be of any classes.
    again = runner('paths_pocket.py', load_from=str(weights), max_iters=1)
    again.train()
    assert again.iter == 1


def test_classes_other_than_those_of_the_search(runner, root):
    runner('search_pocket.py', weight_iters=1).train()
    (found,) = root.rglob('architecture.json')
    assert json.loads(found.read_text())['source']['classes']['faces'] == ['c0', 'c1']
    runner('paths_pocket.py', architecture=str(found), max_iters=1).train()
    for split in ('train', 'val'):
        spoil(root, 'faces', split, rename)
    searched = (
        r"train_dataloader: the classes of faces are \['other', 'c1'\], but the architecture was "
        r"searched for \['c0', 'c1'\]: .* or a file without source\.classes"
    )
    with pytest.raises(InputError, match=searched):
        runner('paths_pocket.py', architecture=str(found), max_iters=1).train()
    document = json.loads(found.read_text())
    del document['source']['classes']
    found.write_text(json.dumps(document))
    runner('paths_pocket.py', architecture=str(found), max_iters=1).train()


def test_a_domain_that_cannot_be_split(runner, root):
    def keep_one(document):
        del document['images'][1:], document['annotations'][1:]

    spoil(root, 'faces', 'train', keep_one)
    with pytest.raises(InputError, match='the domain faces has one training image, which cannot'):
        runner('search_pocket.py', weight_iters=1).train()


@pytest.mark.parametrize('name', ['search_pocket.py', 'paths_pocket.py'])
def test_no_tree_of_domains(name):
    with pytest.raises(InputError, match=rf'{name} is the config of paths of domains .*no tree'):
        read_tree_config(str(CONFIGS / name))


@pytest.mark.parametrize('domain', ['digits', None])
def test_a_search_predicts_nothing(tmp_path, domain):
    (tmp_path / 'weights.pth').touch()
    with pytest.raises(InputError, match=r'search_pocket\.py is for a search of paths'):
        MultiTaskInferencer(
            str(CONFIGS / 'search_pocket.py'), str(tmp_path / 'weights.pth'), 'cpu', domain=domain
        )


def test_an_argument_that_a_base_would_take(runner):
    with pytest.raises(TypeError) as caught:
        runner('paths_pocket.py', **{'model.resource_loss': {'type': 'ResourceLoss'}})
    told = mistake_seen_by_library(caught.value)
    names = 'backbone, decode_heads, cost_shape, data_preprocessor, init_cfg, loss_balancing'
    assert told.endswith(f'it takes {names}, auxiliary_heads')
