"""The same room in several styles: other images, the same labels."""

import json

import numpy as np
import pytest

from mmbmtas.errors import InputError
from mmbmtas.scenes import render_image, write_scenes
from mmbmtas.scenes.classes import CATEGORY_ID
from mmbmtas.scenes.styles import STYLES

SIZE = (48, 64)


@pytest.fixture(scope='module')
def rooms():
    return {style: render_image(5, 'train', 3, SIZE, style) for style in STYLES}


def test_labels_are_the_same_and_images_are_not(rooms):
    day = rooms['day']
    for style, room in rooms.items():
        for name in ('depth', 'normals', 'category', 'part', 'instance', 'salient'):
            np.testing.assert_array_equal(getattr(room, name), getattr(day, name))
        if style != 'day':
            assert np.abs(room.image.astype(int) - day.image).mean() > 10, style


def test_the_day_is_as_it_ever_was(rooms):
    np.testing.assert_array_equal(rooms['day'].image, render_image(5, 'train', 3, SIZE).image)


def test_nights_are_dark(rooms):
    assert rooms['night'].image.mean() < 0.3 * rooms['day'].image.mean()


def test_flat_things_have_one_colour_their_mean(rooms):
    day, flat = rooms['day'], rooms['flat']
    thing = np.unique(day.instance[day.instance >= 0])[0]
    for category in np.unique(day.category[day.instance == thing]):
        own = (day.instance == thing) & (day.category == category)
        expected = day.image[own].mean(axis=0)
        assert np.abs(flat.image[own] - expected).max() <= 0.5


def test_near_is_bright(rooms):
    room = rooms['depth-grey']
    order = np.argsort(room.depth.ravel())
    assert (np.diff(room.image[..., 0].ravel()[order].astype(int)) <= 0).all()


def test_people_are_warm():
    room = next(
        r
        for n in range(40)
        if (
            (r := render_image(0, 'train', n, SIZE, 'thermal')).category == CATEGORY_ID['person']
        ).mean()
        > 0.05
    )
    person = room.category == CATEGORY_ID['person']
    assert room.image[person].mean() > 1.5 * room.image[room.category == CATEGORY_ID['wall']].mean()


def test_a_folder_says_its_style(tmp_path):
    assert write_scenes(tmp_path / 'night', 'pascal', 1, 1, SIZE, style='night')
    assert json.loads((tmp_path / 'night/scenes.json').read_text())['style'] == 'night'
    assert not write_scenes(tmp_path / 'night', 'pascal', 1, 1, SIZE, style='night')
    assert write_scenes(tmp_path / 'day', 'pascal', 1, 1, SIZE)
    assert 'style' not in json.loads((tmp_path / 'day/scenes.json').read_text())
    with pytest.raises(InputError, match=r"style must be one of day, .* found 'noon'"):
        write_scenes(tmp_path / 'noon', 'pascal', 1, 1, SIZE, style='noon')
