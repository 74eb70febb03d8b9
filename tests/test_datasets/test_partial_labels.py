"""Images without a label, data sets with some of the tasks, and several of them in one."""

import shutil

import pytest
from mmengine.dataset import pseudo_collate

from mmbmtas.datasets import ConcatDataset, NYUDv2MT, PascalContextMT, base
from mmbmtas.registry import DATASETS

PASCAL = [
    {'type': 'LoadSampleImage'},
    {'type': 'LoadPascalContextLabels'},
    {'type': 'DeriveEdges'},
    {'type': 'PackMultiTaskInputs'},
]
NYUD = [
    {'type': 'LoadSampleImage'},
    {'type': 'LoadNYUDv2Labels'},
    {'type': 'PadToSize', 'divisor': 32, 'pad_labels': False},
    {'type': 'PackMultiTaskInputs'},
]


@pytest.fixture
def roots(scenes_roots, tmp_path):
    """Copies of the scenes that a test may change."""
    return {
        name: shutil.copytree(root, tmp_path / name, symlinks=True)
        for name, root in scenes_roots.items()
    }


@pytest.fixture
def messages(monkeypatch):
    found = []
    monkeypatch.setattr(base, 'print_log', lambda text, *_, **__: found.append(text))
    return found


def labels(dataset, index):
    sample = dataset[index]['data_samples']
    return {key.removeprefix('gt_') for key in sample.keys() if key.startswith('gt_')}  # noqa: SIM118


def test_missing_labels_are_allowed_when_the_config_says_so(roots, messages):
    root = roots['pascal']
    for path in ('human_parts/train_000001.mat', 'sal_distill/train_000001.png'):
        (root / path).unlink()
    (root / 'sal_distill/train_000002.png').unlink()
    with pytest.raises(FileNotFoundError, match='3 files of the train split are missing'):
        PascalContextMT(root, pipeline=PASCAL)
    dataset = PascalContextMT(root, pipeline=PASCAL, allow_missing_labels=True)
    assert len(dataset) == 12
    (message,) = [m for m in messages if 'no label' in m]
    assert message.endswith('some have no label: human_parts 1, saliency 2')
    assert labels(dataset, 0) == {'semseg', 'human_parts', 'saliency', 'normals', 'edge'}
    assert labels(dataset, 1) == {'semseg', 'normals', 'edge'}
    assert labels(dataset, 2) == {'semseg', 'human_parts', 'normals', 'edge'}


def test_a_label_map_serves_edges_and_tells_which_normals_count(roots, messages):
    (roots['pascal'] / 'pascal-context/trainval/train_000001.mat').unlink()
    dataset = PascalContextMT(roots['pascal'], pipeline=PASCAL, allow_missing_labels=True)
    assert labels(dataset, 1) == {'semseg', 'human_parts', 'saliency'}
    assert any(m.endswith('no label: normals 1, edge 1') for m in messages)


def test_parts_that_come_later_are_noticed(roots):
    root, file = roots['pascal'], 'human_parts/train_000001.mat'
    content = (root / file).read_bytes()
    (root / file).unlink()
    options = {'pipeline': PASCAL, 'tasks': ['human_parts'], 'allow_missing_labels': True}
    before = [
        sample['img_id'] for sample in map(PascalContextMT(root, **options).get_data_info, range(3))
    ]
    assert 'train_000001' not in before
    (root / file).write_bytes(content)
    again = PascalContextMT(root, pipeline=PASCAL, allow_missing_labels=True)
    assert 'human_parts' in labels(again, 1)


def test_missing_labels_of_nyud(roots, messages):
    root = roots['nyud']
    for name in ('depth/train_000000.npy', 'segmentation/train_000003.png'):
        (root / name).unlink()
    dataset = NYUDv2MT(root, pipeline=NYUD, allow_missing_labels=True)
    assert labels(dataset, 0) == {'semseg', 'normals', 'edge'}
    assert labels(dataset, 3) == {'depth', 'normals', 'edge'}
    assert any(m.endswith('no label: semseg 1, depth 1') for m in messages)


def test_missing_images_are_not_allowed(roots):
    (roots['nyud'] / 'images/train_000002.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='1 files of the train split'):
        NYUDv2MT(roots['nyud'], allow_missing_labels=True)


def test_a_task_without_any_label_is_refused(roots):
    shutil.rmtree(roots['nyud'] / 'depth')
    with pytest.raises(ValueError, match=r'no image of the train split .* label of depth: check'):
        NYUDv2MT(roots['nyud'], allow_missing_labels=True)
    assert len(NYUDv2MT(roots['nyud'], tasks=['edge'])) == 12


@pytest.fixture
def concat(scenes_roots):
    return DATASETS.build(
        {
            'type': 'ConcatDataset',
            'datasets': [
                {
                    'type': 'PascalContextMT',
                    'data_root': scenes_roots['pascal'],
                    'tasks': ['semseg', 'human_parts', 'normals'],
                    'pipeline': PASCAL,
                },
                {
                    'type': 'NYUDv2MT',
                    'data_root': scenes_roots['nyud'],
                    'tasks': ['normals', 'depth'],
                    'pipeline': NYUD,
                },
            ],
        }
    )


def test_concatenation_of_different_tasks(concat):
    assert type(concat) is ConcatDataset
    assert len(concat) == 24
    assert labels(concat, 0) == {'semseg', 'human_parts', 'normals'}
    assert labels(concat, 12) == {'normals', 'depth'}
    assert concat.metainfo['tasks'] == ('semseg', 'human_parts', 'normals', 'depth')
    # NYUD-v2's classes are of a task that it is not asked for here.
    assert concat.metainfo['classes'] == PascalContextMT.METAINFO['classes']
    assert concat.metainfo['palette'] == PascalContextMT.METAINFO['palette']


def test_samples_say_of_which_domain_they_are(concat):
    parts = concat.datasets
    named = ConcatDataset(parts, domains=['outdoors', 'indoors'])
    for index, domain in ((0, 'outdoors'), (11, 'outdoors'), (12, 'indoors'), (23, 'indoors')):
        assert named[index]['data_samples'].domain == domain
        assert named.get_data_info(index)['domain'] == domain
    assert 'domain' not in concat[0]['data_samples']
    with pytest.raises(
        ValueError, match=r"domains \['one'\] .*one name for each of the 2 data sets"
    ):
        ConcatDataset(parts, domains=['one'])


def test_concatenated_data_sets_must_agree_on_classes(scenes_roots):
    one = PascalContextMT(scenes_roots['pascal'], tasks=['semseg'])
    other = NYUDv2MT(scenes_roots['nyud'], tasks=['semseg', 'depth'])
    with pytest.raises(ValueError, match='different classes of semseg: 21 and 40'):
        ConcatDataset([one, other])
    assert len(ConcatDataset([one, one])) == 24


def test_a_batch_of_both_trains_and_predicts(concat, toys):
    """Inputs differ in size: 64 x 80, and 64 x 96 with the padding of the second data set."""
    tasks = ['semseg', 'human_parts', 'normals', 'depth']
    model = toys.build(
        {
            **toys.branched_config(tasks),
            'data_preprocessor': {
                'type': 'mmengine.ImgDataPreprocessor',
                'mean': [127.5] * 3,
                'std': [127.5] * 3,
            },
        }
    )
    batch = pseudo_collate([concat[0], concat[12]])
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert {name.split('.')[0] for name in losses} <= set(tasks)
    assert 'depth.loss_l1' in losses
    model.eval()
    for sample in model.test_step(pseudo_collate([concat[0], concat[12]])):
        assert sample.pred_depth.data.shape == (1, 64, 80)
        assert sample.pred_semseg.data.shape == (1, 64, 80)
