"""Which files of a folder are images and which are labels, by their names alone."""

import pytest

from mmbmtas.projects.groups import group_files, match_group, without_tail


def names(pattern, stems=('001', '002', '003', '004')):
    return [pattern.format(stem) for stem in stems]


def patterns(paths):
    return sorted(group.pattern for group in group_files(paths))


@pytest.mark.parametrize(
    ('templates', 'expected'),
    [
        (['images/{}.jpg', 'masks/{}.png'], ['images/{stem}.jpg', 'masks/{stem}.png']),
        (['{}.jpg', '{}_mask.png'], ['{stem}.jpg', '{stem}_mask.png']),
        (['{}_rgb.png', '{}_depth.png'], ['{stem}_depth.png', '{stem}_rgb.png']),
        (['{}.jpg', '{}.png'], ['{stem}.jpg', '{stem}.png']),
        (['d/{}.png', 'd/{}.npy'], ['d/{stem}.npy', 'd/{stem}.png']),
        (['data/v1/images/{}.JPG', 'data/v1/m/{}.png'],
         ['data/v1/images/{stem}.JPG', 'data/v1/m/{stem}.png']),
    ],
)  # fmt: skip
def test_groups_by_folder_ending_and_last_word(templates, expected):
    assert patterns([path for template in templates for path in names(template)]) == expected


def test_words_that_only_images_have_are_part_of_their_names():
    paths = ['p/beach_sunny.jpg', 'p/beach_rainy.jpg', 'p/hill_sunny.jpg', 'p/lake_rainy.jpg']
    assert patterns(paths) == ['p/{stem}.jpg']


def test_other_files_are_no_groups():
    assert patterns(['readme.txt', 'images/a.jpg', 'images/list.csv']) == ['images/{stem}.jpg']


def test_folders_below_a_kind_belong_to_the_names():
    paths = [f'{kind}/{place}/{i}.png' for kind in 'ab' for place in ('day', 'night') for i in '12']
    groups = group_files(paths)
    assert [group.pattern for group in groups] == ['a/{stem}.png', 'b/{stem}.png']
    assert {name for _, name in groups[0].files} == {'day/1', 'day/2', 'night/1', 'night/2'}


@pytest.mark.parametrize('order', ['{split}/{kind}', '{kind}/{split}'])
def test_folders_of_splits(order):
    splits = {'train': 'train', 'valid': 'val', 'test': ''}
    paths = [
        f'{order.format(split=split, kind=kind)}/{i}.png'
        for kind in ('images', 'masks')
        for split in splits
        for i in '12'
    ]
    images, masks = group_files(paths)
    assert images.has_splits
    assert {*images.files} == {(split, i) for split in splits.values() for i in '12'}
    assert match_group(images, masks).files.keys() == images.files.keys()


@pytest.mark.parametrize(
    ('template', 'pattern'),
    [
        ('m/{}.png', 'm/{stem}.png'),
        ('m/mask_{}.png', 'm/mask_{stem}.png'),
        ('m/{}_v2_final.png', 'm/{stem}_v2_final.png'),
        ('m/a{}b.png', 'm/a{stem}b.png'),
    ],
)
def test_labels_by_what_stands_around_the_images_name(template, pattern):
    stems = ['shot1', 'shot12', 'shot2']
    images, labels = group_files([*names('images/{}.jpg', stems), *names(template, stems[1:])])
    found = match_group(images, labels)
    assert found.pattern == pattern
    assert found.files.keys() == {('-', 'shot12'), ('-', 'shot2')}


def test_labels_of_other_names_match_nothing():
    images, labels = group_files([*names('images/{}.jpg'), *names('other/{}.png', 'xyz')])
    assert match_group(images, labels) is None


def test_images_that_all_end_in_a_word():
    images, labels = group_files([*names('color/{}_rgb.png'), *names('depth/{}_depth.png')])
    assert match_group(images, labels) is None
    shorter = without_tail(images)
    assert shorter.pattern == 'color/{stem}_rgb.png'
    assert match_group(shorter, labels).pattern == 'depth/{stem}_depth.png'
