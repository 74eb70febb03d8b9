"""Which images affinities are measured on."""

import copy

import pytest
from mmengine.config import Config

from mmbmtas.comparison.affinity import image_loader
from mmbmtas.registry import DATASETS


@DATASETS.register_module()
class CountedImages(list):
    """Numbers that stand for images; remembers how it was built."""

    built: list = []  # noqa: RUF012

    def __init__(self, **options):
        super().__init__(range(options.pop('count')))
        self.built.append(options)


@pytest.fixture
def cfg():
    data = {'type': 'mmbmtas.CountedImages', 'count': 20, 'pipeline': ['flip']}
    tested = {**data, 'count': 5, 'pipeline': ['pad'], 'test_mode': True}
    return Config(
        {
            'train_dataloader': {'dataset': data, 'batch_size': 4, 'num_workers': 1},
            'val_dataloader': {'dataset': tested, 'batch_size': 3},
            'test_dataloader': {'dataset': tested, 'batch_size': 3},
        }
    )


def test_training_images_go_through_the_transforms_of_testing(cfg):
    before = copy.deepcopy(cfg.to_dict())
    loader = image_loader(cfg, 'train', 7, seed=1)
    assert CountedImages.built[-1] == {'pipeline': ['pad'], 'test_mode': True}
    assert cfg.to_dict() == before
    images = [image for batch in loader for image in batch]
    assert len(set(images)) == 7
    assert images == sorted(images)
    assert max(images) < 20
    assert images == [i for batch in image_loader(cfg, 'train', 7, seed=1) for i in batch]
    assert images != [i for batch in image_loader(cfg, 'train', 7, seed=2) for i in batch]
    assert (loader.batch_size, loader.num_workers) == (3, 0)


@pytest.mark.parametrize('split', ['val', 'test'])
def test_all_images_where_there_are_fewer(cfg, split):
    assert [i for batch in image_loader(cfg, split, 500) for i in batch] == [*range(5)]


def test_loaders_that_make_no_sense(cfg):
    with pytest.raises(ValueError, match='0 images: expected at least 1'):
        image_loader(cfg, 'val', 0)
    single = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': [single, single]}
    with pytest.raises(ValueError, match='2 data sets for training, 1 for testing'):
        image_loader(cfg, 'train', 5)
