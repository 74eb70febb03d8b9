"""Small archives of the structure of the published ones, whose labels are known."""

import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from mmbmtas.conversion import convert_pascal_context
from mmbmtas.conversion.pascal_context import VOC_OF_LABEL_MAP
from mmbmtas.datasets import PascalContextMT
from mmbmtas.datasets.checking import check_dataset
from mmbmtas.datasets.pascal_context import VOC_CLASSES
from mmbmtas.datasets.preparing import prepare_dataset

TOOLS = Path(__file__).parents[2] / 'tools/dataset_converters'
IDS = {'train': ['2008_000002', '2009_000007'], 'val': ['2010_000001']}
SHAPE = (30, 40)
# What the published list of 459 labels says of a few numbers.
PERSON, TABLE, TRAIN, WALL = 284, 397, 416, 440
TASKS = ['semseg', 'human_parts', 'edge']
PIPELINE = [
    dict(type='LoadSampleImage'),
    dict(type='LoadPascalContextLabels'),
    dict(type='DeriveEdges', method='boundary', keep_label_map=True),
]


@pytest.fixture(scope='module')
def label_map():
    """A wall, an unlabelled strip on the right, a person from row 5, a table from row 20."""
    found = np.full(SHAPE, WALL, np.uint16)
    found[:, 36:] = 0
    found[5:20, 10:20] = PERSON
    found[20:] = TABLE
    return found


@pytest.fixture
def archives(tmp_path, layouts, label_map):
    voc = tmp_path / 'VOCdevkit/VOC2010'
    for split, ids in IDS.items():
        layouts.save_text(voc / f'ImageSets/Main/{split}.txt', ids)
    # One class's list has its own form; it is none of the two that count.
    layouts.save_text(voc / 'ImageSets/Main/person_train.txt', ['2008_000002  1'])
    rng = np.random.default_rng(0)
    for img_id in [*IDS['train'], *IDS['val']]:
        image = rng.integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
        layouts.save_image(voc / f'JPEGImages/{img_id}.jpg', image)
        body = layouts.box(SHAPE, 5, 10, 20, 20)
        parts = [
            ('torso', layouts.box(SHAPE, 9, 10, 15, 20)),
            ('head', layouts.box(SHAPE, 5, 12, 10, 18)),  # later over earlier: row 9 is head
            ('lfoot', layouts.box(SHAPE, 18, 10, 20, 13)),
        ]
        objects = [(15, body, parts)] if img_id != '2009_000007' else []
        # A cat has parts of other names.
        objects.append((8, body, [('tail', body), ('muzzle', body)]))
        layouts.save_parts(tmp_path / f'parts/Annotations_Part/{img_id}.mat', img_id, objects)
        path = tmp_path / f'context/trainval/{img_id}.mat'
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(path, {'LabelMap': label_map}, do_compression=True)
    mask = np.full(SHAPE, 15, np.uint8)
    layouts.save_palette_png(voc / 'SegmentationClass/2010_000001.png', mask)
    return tmp_path


def convert(folder, out, **options):
    options = {'context': folder / 'context', **options}
    return convert_pascal_context(folder, folder / 'parts', out, **options)


def load(root, split, tasks=TASKS):
    return PascalContextMT(root, split, tasks=tasks, pipeline=PIPELINE, cache=None)


def run(monkeypatch, name, *words):
    monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, words)])
    with pytest.raises(SystemExit) as status:
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
    return status.value.code or 0


def test_labels_are_those_of_the_archives(archives, tmp_path, label_map):
    out = tmp_path / 'PASCAL_MT'
    assert convert(archives, out) == {'written': 3, 'kept': 0}
    train = load(out, 'train')
    assert [item['img_id'] for item in train] == IDS['train']
    first, second = train
    parts = np.zeros(SHAPE, np.uint8)
    parts[9:15, 10:20], parts[5:10, 12:18], parts[18:20, 10:13] = 2, 1, 6
    assert np.array_equal(first['gt_human_parts'], parts)
    assert not second['gt_human_parts'].any()
    classes = np.zeros(SHAPE, np.uint8)
    classes[:, 36:] = 255
    classes[5:20, 10:20], classes[20:] = 15, 11
    assert np.array_equal(first['gt_semseg'], classes)
    # The boundary between row 19 and row 20 is one pixel high.
    assert first['gt_edge'][18:22, 25:30].sum() == 5
    assert not first['gt_edge'][23:, 5:30].any()
    # VOC's own mask counts where there is one.
    assert (load(out, 'val')[0]['gt_semseg'] == 15).all()


def test_images_and_annotations_are_copies(archives, tmp_path):
    out = tmp_path / 'PASCAL_MT'
    convert(archives, out)
    for source, copy in {
        'VOCdevkit/VOC2010/JPEGImages/2010_000001.jpg': 'JPEGImages/2010_000001.jpg',
        'parts/Annotations_Part/2010_000001.mat': 'human_parts/2010_000001.mat',
        'context/trainval/2010_000001.mat': 'pascal-context/trainval/2010_000001.mat',
    }.items():
        assert (archives / source).read_bytes() == (out / copy).read_bytes()


def test_label_maps_have_the_classes_of_voc():
    names = {2: 'aeroplane', 34: 'bottle', 113: 'dog', PERSON: 'person', 308: 'pottedplant'}
    names |= {TABLE: 'diningtable', 368: 'sofa', TRAIN: 'train', 427: 'tvmonitor', 0: None}
    for number, name in names.items():
        assert VOC_OF_LABEL_MAP[number] == (255 if name is None else VOC_CLASSES.index(name))
    assert sorted(VOC_OF_LABEL_MAP[VOC_OF_LABEL_MAP > 0]) == [*range(1, 21), 255]


def test_the_check_and_the_cache_take_its_tasks(archives, tmp_path):
    out = tmp_path / 'PASCAL_MT'
    convert(archives, out)
    report = check_dataset(out, options={'tasks': TASKS})
    assert report.passed, report.problems
    prepared = prepare_dataset(out, tmp_path, options={'tasks': TASKS})
    assert prepared.counts == {'written': 5}  # two variants of two images, one of the third
    cached = PascalContextMT(out, 'val', tasks=TASKS, pipeline=PIPELINE)
    (found,), (read,) = cached, load(out, 'val')
    assert 'cache' in repr(cached.pipeline).lower()
    for task in TASKS:
        assert np.array_equal(found[f'gt_{task}'], read[f'gt_{task}'])


@pytest.mark.parametrize('name', ['check_dataset', 'prepare_dataset'])
def test_tools_for_some_tasks(archives, tmp_path, monkeypatch, capfd, name):
    out = tmp_path / 'PASCAL_MT'
    convert(archives, out)
    monkeypatch.chdir(tmp_path)
    words = [out, *([tmp_path] if name == 'prepare_dataset' else []), '--tasks', *TASKS]
    assert run(monkeypatch, name, *words) == 0
    assert run(monkeypatch, name, *words[:-4]) == 1
    assert 'sal_distill' in (tmp_path / 'PASCAL_MT.check.txt').read_text()


def test_parts_alone(archives, tmp_path):
    out = tmp_path / 'PASCAL_MT'
    convert(archives, out, context=None)
    (sample,) = load(out, 'train', ['human_parts'])
    assert sample['img_id'] == '2008_000002'  # without people the other is none of this task
    with pytest.raises(FileNotFoundError, match=r'pascal-context/trainval/2008_000002\.mat'):
        load(out, 'train')


def test_it_goes_on_where_it_was_interrupted(archives, tmp_path, monkeypatch):
    from mmbmtas.conversion import pascal_context

    out, done = tmp_path / 'PASCAL_MT', []

    def interrupted(path, labels):
        if done:
            raise KeyboardInterrupt
        done.append(path)
        original(path, labels)

    original = pascal_context.save_palette_png
    with monkeypatch.context() as patch:
        patch.setattr(pascal_context, 'save_palette_png', interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(archives, out)
    with pytest.raises(FileNotFoundError):
        load(out, 'train')
    assert not list(out.rglob('*.part'))
    first = out / 'human_parts/2008_000002.mat'
    before = first.stat().st_mtime_ns
    assert convert(archives, out) == {'written': 2, 'kept': 1}
    assert first.stat().st_mtime_ns == before
    # A training lists the objects of the images; the same call still finds its own folder.
    assert len(load(out, 'train')) == 2
    assert convert(archives, out) == {'written': 0, 'kept': 3}


def test_other_archives_are_not_mixed_in(archives, tmp_path):
    out = tmp_path / 'PASCAL_MT'
    convert(archives, out)
    with pytest.raises(FileExistsError, match=r'conversion\.json'):
        convert(archives, out, context=None)


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda f: shutil.rmtree(f / 'VOCdevkit'), r'expected VOCdevkit/VOC2010 .*03-May-2010'),
        (lambda f: shutil.rmtree(f / 'parts/Annotations_Part'), 'Annotations_Part of PASCAL-Part'),
        (lambda f: shutil.rmtree(f / 'context'), 'folder trainval of PASCAL-Context'),
        (
            lambda f: (f / 'parts/Annotations_Part/2010_000001.mat').unlink(),
            r'parts/Annotations_Part/2010_000001\.mat is missing, and 0 more .*VOC 2010',
        ),
        (
            lambda f: (f / 'parts/Annotations_Part/2010_000001.mat').write_bytes(b'MATLAB'),
            r'2010_000001\.mat: expected a readable MATLAB file',
        ),
        (
            lambda f: shutil.copy(
                f / 'context/trainval/2010_000001.mat', f / 'parts/Annotations_Part'
            ),
            r"2010_000001\.mat: expected a variable 'anno', found variables: LabelMap",
        ),
        (
            lambda f: scipy.io.savemat(
                f / 'context/trainval/2010_000001.mat', {'LabelMap': np.ones((30, 41), np.uint16)}
            ),
            r'2010_000001\.mat: expected a label of the size of its image .*\(30, 41\)',
        ),
        (
            lambda f: (f / 'VOCdevkit/VOC2010/JPEGImages/2010_000001.jpg').write_bytes(b'\xff\xd8'),
            r'2010_000001\.jpg: expected a readable image',
        ),
        (
            lambda f: (f / 'VOCdevkit/VOC2010/ImageSets/Main/val.txt').write_text('2008_000002'),
            "'2008_000002' is listed 2 times",
        ),
        (
            lambda f: (f / 'VOCdevkit/VOC2010/ImageSets/Main/val.txt').write_text('2008_000009  1'),
            "an id such as 2008_000002 .* found '2008_000009  1'",
        ),
    ],
)
def test_bad_archives_are_refused(archives, tmp_path, break_it, message):
    break_it(archives)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        convert(archives, tmp_path / 'out')
    assert not list(tmp_path.glob('out/ImageSets/Context/*.txt'))


def test_a_mask_beyond_the_classes(archives, tmp_path, layouts):
    mask = np.full(SHAPE, 21, np.uint8)
    layouts.save_palette_png(tmp_path / 'other/2010_000001.png', mask)
    with pytest.raises(ValueError, match=r'other/2010_000001\.png: .*0 to 20, or 255, found 21'):
        convert(archives, tmp_path / 'out', masks=tmp_path / 'other')


def test_tool(archives, tmp_path, monkeypatch, capfd):
    words = [archives / 'VOCdevkit', archives / 'parts', '-o', tmp_path / 'out', '--jobs', 2]
    assert run(monkeypatch, 'pascal_context', *words) == 0
    out, error = capfd.readouterr()
    assert '3 samples written, 0 kept' in out
    assert 'tasks=[human_parts]' in out
    assert 'converting: 3/3' in error
