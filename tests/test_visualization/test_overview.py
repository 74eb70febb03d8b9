"""Pictures below one another."""

from PIL import Image

from mmbmtas.visualization.overview import stack_pictures


def test_pictures_keep_their_shape_and_order(tmp_path):
    Image.new('RGB', (200, 100), 'red').save(tmp_path / 'a.png')
    Image.new('RGB', (50, 50), 'blue').save(tmp_path / 'b.png')
    stack_pictures([tmp_path / 'a.png', tmp_path / 'b.png'], tmp_path / 'out' / 'c.png', width=100)
    with Image.open(tmp_path / 'out' / 'c.png') as picture:
        assert picture.size == (100, 50 + 12 + 100)
        picture = picture.convert('RGB')
        points = [picture.getpixel(at) for at in ((50, 25), (50, 56), (50, 100))]
        assert points == [(255, 0, 0), (255, 255, 255), (0, 0, 255)]
