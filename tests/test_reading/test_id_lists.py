"""Lists of ids, as editors of all systems write them."""

import codecs

import pytest

from mmbmtas.evaluation.edges.truths import list_truths
from mmbmtas.reading import read_id_list

IDS = ['2008_000001', 'Küche 3', 'x']
MARKS = {
    'utf-8': b'',
    'utf-8-sig': b'',
    'utf-16': b'',  # Python writes the mark itself
    'utf-16-le': codecs.BOM_UTF16_LE,
    'utf-16-be': codecs.BOM_UTF16_BE,
    'utf-32': b'',
}


@pytest.mark.parametrize('encoding', MARKS)
@pytest.mark.parametrize('ending', ['\n', '\r\n', '\r'])
def test_every_encoding_and_line_ending(tmp_path, encoding, ending):
    text = ending.join(['', *IDS, '   ', ''])
    (tmp_path / 'a.txt').write_bytes(MARKS[encoding] + text.encode(encoding))
    assert read_id_list(tmp_path / 'a.txt') == IDS


@pytest.mark.parametrize('encoding', ['utf-16-le', 'utf-16-be'])
def test_wide_letters_without_a_mark(tmp_path, encoding):
    (tmp_path / 'a.txt').write_bytes('0001\r\n0002\r\n'.encode(encoding))
    assert read_id_list(tmp_path / 'a.txt') == ['0001', '0002']


def test_marks_within_a_text_are_no_part_of_an_id(tmp_path):
    # `copy a.txt + b.txt` in Windows keeps the mark of each and ends the file with Ctrl-Z.
    mark = codecs.BOM_UTF8
    (tmp_path / 'a.txt').write_bytes(mark + b'1\r\n' + mark + b'2\r\n\x1a')
    assert read_id_list(tmp_path / 'a.txt') == ['1', '2']


def test_what_is_no_list_is_named(tmp_path):
    path = tmp_path / 'a.txt'
    with pytest.raises(FileNotFoundError, match=r'a\.txt is not a list of ids'):
        read_id_list(path)
    path.write_bytes('Küche'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'a\.txt: expected text in UTF-8 .* at byte 1'):
        read_id_list(path)
    path.write_bytes(codecs.BOM_UTF8 + b'\r\n')
    with pytest.raises(ValueError, match=r'a\.txt: expected one id per line, found none'):
        read_id_list(path)


def test_the_evaluation_of_edges_reads_the_same_list(tmp_path):
    for folder in ('gt_sets', 'edge'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'gt_sets/val.txt').write_bytes('a b\r\nc\r\n'.encode('utf-16'))
    for name in ('a b', 'c'):
        (tmp_path / 'edge' / f'{name}.png').touch()
    assert [*list_truths(tmp_path, 'nyud')] == ['a b', 'c']
