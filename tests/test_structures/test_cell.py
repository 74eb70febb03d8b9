"""Dense prediction cells: their file, and the space of them."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.structures import CellSpace, DenseCell
from mmbmtas.structures.cell import Operation

# The file of the public DeepLab code, as it stands there.
PUBLIC = """[{"kernel": 3, "rate": [1, 6], "op": "conv", "input": -1},
 {"kernel": 3, "rate": [18, 15], "op": "conv", "input": 0},
 {"kernel": 3, "rate": [6, 3], "op": "conv", "input": 1},
 {"kernel": 3, "rate": [1, 1], "op": "conv", "input": 0},
 {"kernel": 3, "rate": [6, 21], "op": "conv", "input": 0}]
"""
FOUND = DenseCell.from_branches(json.loads(PUBLIC))
SHIPPED = Path(__file__).parents[2] / 'configs/cells/dpc_cityscapes.json'
SPACE = CellSpace()


def branch(index, read, **changes):
    """A branch of the found cell that reads another."""
    return {**FOUND.branches[index], 'input': read, **changes}


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'cell.json'


class TestFile:
    def test_reads_the_public_file(self, path):
        path.write_text(PUBLIC)
        cell = DenseCell.load(path)
        assert cell.inputs == (-1, 0, 1, 0, 0)
        rates = [(1, 6), (18, 15), (6, 3), (1, 1), (6, 21)]
        assert cell.operations == tuple(Operation('conv', (3, 3), rate) for rate in rates)

    def test_the_shipped_cell_is_the_public_one(self):
        assert DenseCell.load(SHIPPED) == FOUND

    def test_round_trip(self, path):
        cell = DenseCell(FOUND.inputs, FOUND.operations, {'cell': 12}, {'trial': 3})
        cell.save(path)
        assert DenseCell.load(path).to_dict() == cell.to_dict()
        written = path.read_bytes()
        DenseCell.load(path).save(path)
        assert path.read_bytes() == written

    @given(st.integers(0, 2**32), st.integers(1, 8))
    def test_round_trip_of_any_cell(self, seed, branches):
        cell = CellSpace(branches).sample(np.random.default_rng(seed))
        assert DenseCell.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell
        assert DenseCell.from_dict(cell.branches) == cell

    def test_one_number_is_for_both_sides(self):
        conv = {'input': -1, 'op': 'conv', 'kernel': [3, 3], 'rate': 6}
        pool = {'input': -1, 'op': 'pyramid_pooling', 'grid_size': 2}
        point = {'input': -1, 'op': 'conv', 'kernel': [1, 1]}
        cell = DenseCell.from_branches([conv, pool, point])
        assert cell.branches == [
            {'input': -1, 'op': 'conv', 'kernel': 3, 'rate': [6, 6]},
            {'input': -1, 'op': 'pyramid_pooling', 'grid_size': [2, 2]},
            {'input': -1, 'op': 'conv', 'kernel': 1},
        ]

    @pytest.mark.parametrize(
        ('change', 'key'),
        [
            ({'format': 'mmbmtas.architecture'}, 'format'),
            ({'version': 2}, 'version'),
            ({'version': True}, 'version'),
            ({'branches': []}, 'branches'),
            ({'branches': 'conv'}, 'branches'),
            ({'branches': [branch(0, -1)] * 17}, 'branches'),
            ({'branches': [[]]}, r'branches\[0\]'),
            ({'branches': [branch(0, 0)]}, r'branches\[0\].input'),
            ({'branches': [branch(0, -1), branch(1, 1)]}, r'branches\[1\].input'),
            ({'branches': [branch(0, -1), branch(1, 2), branch(2, 0)]}, r'branches\[1\].input'),
            ({'branches': [branch(0, -2)]}, r'branches\[0\].input'),
            ({'branches': [branch(0, False)]}, r'branches\[0\].input'),
            ({'branches': [branch(0, -1.0)]}, r'branches\[0\].input'),
            ({'branches': [branch(0, -1, op='pool')]}, r'branches\[0\].op'),
            ({'branches': [branch(0, -1, op=['conv'])]}, r'branches\[0\].op'),
            ({'branches': [branch(0, -1, kernel=5)]}, r'branches\[0\].kernel'),
            ({'branches': [branch(0, -1, kernel=[3, 3, 3])]}, r'branches\[0\].kernel'),
            ({'branches': [branch(0, -1, kernel=1)]}, r'branches\[0\].rate'),
            ({'branches': [branch(0, -1, rate=0)]}, r'branches\[0\].rate'),
            ({'branches': [branch(0, -1, rate=[1, 65])]}, r'branches\[0\].rate'),
            ({'branches': [branch(0, -1, rate=1.5)]}, r'branches\[0\].rate'),
            ({'branches': [branch(0, -1, stride=2)]}, r'branches\[0\].stride'),
            ({'branches': [{'input': -1, 'op': 'conv'}]}, r'branches\[0\].kernel'),
            ({'branches': [{'input': -1, 'op': 'conv', 'kernel': 3}]}, r'branches\[0\].rate'),
            ({'branches': [{'input': -1, 'op': 'pyramid_pooling'}]}, r'branches\[0\].grid_size'),
            (
                {'branches': [{'input': -1, 'op': 'pyramid_pooling', 'grid_size': [2, 65]}]},
                r'branches\[0\].grid_size',
            ),
            (
                {'branches': [{'input': -1, 'op': 'pyramid_pooling', 'grid_size': 2, 'rate': 1}]},
                r'branches\[0\].rate',
            ),
            ({'madds': {'cell': -1}}, 'madds'),
            ({'source': 3}, 'source'),
            ({'notes': 'x'}, 'notes'),
        ],
    )
    def test_refuses_other_documents(self, path, change, key):
        path.write_text(json.dumps({**FOUND.to_dict(), **change}))
        with pytest.raises(InputError, match=f'^{path}: {key}: found .*, expected '):
            DenseCell.load(path)

    @pytest.mark.parametrize('key', ['format', 'version', 'branches', 'madds', 'source'])
    def test_refuses_documents_that_lack_a_key(self, path, key):
        document = FOUND.to_dict()
        del document[key]
        path.write_text(json.dumps(document))
        with pytest.raises(InputError, match=f'^{path}: {key}: found '):
            DenseCell.load(path)

    @pytest.mark.parametrize(
        'content', ['', '3', 'null', '"cell"', '[]', '{"a": 1, "a": 2}', '[NaN]']
    )
    def test_refuses_other_files(self, path, content):
        path.write_text(content)
        with pytest.raises(InputError, match=f'^{path}: '):
            DenseCell.load(path)

    def test_names_the_branch_of_a_bare_list(self, path):
        path.write_text(json.dumps([branch(0, -1), branch(1, 3)]))
        with pytest.raises(
            InputError, match=rf'^{path}: \[1\].input: found 3, expected -1 .* to 0'
        ):
            DenseCell.load(path)

    def test_names_a_file_that_is_not_there(self, path):
        with pytest.raises(MissingFileError, match='no such file'):
            DenseCell.load(path)


class TestKey:
    def test_the_orders_of_the_found_cell_share_a_key(self):
        """Branches may be put in any order in which each comes after the one that it reads."""
        keys, orders = set(), 0
        for order in itertools.permutations(range(5)):
            place = {-1: -1, **{old: new for new, old in enumerate(order)}}
            inputs = [place[FOUND.inputs[old]] for old in order]
            if all(read < new for new, read in enumerate(inputs)):
                orders += 1
                keys.add(DenseCell(tuple(inputs), tuple(FOUND.operations[i] for i in order)).key())
        assert orders == 12
        assert keys == {FOUND.key()}

    @pytest.mark.parametrize(('branches', 'operations'), [(1, 2), (2, 2), (3, 2), (4, 2), (3, 3)])
    def test_counts_agree_with_enumeration(self, branches, operations):
        """Two cells are the same if some permutation of the branches maps one on the other."""
        choices = [range(-1, index) for index in range(branches)]
        named = [Operation('pyramid_pooling', grid_size=(1, n + 1)) for n in range(operations)]
        keys, forms = set(), set()
        for inputs in itertools.product(*choices):
            for colours in itertools.product(range(operations), repeat=branches):
                keys.add(DenseCell(inputs, tuple(named[c] for c in colours)).key())
                forms.add(
                    min(
                        tuple(
                            sorted(
                                (place[i], place[r] if r >= 0 else -1, c)
                                for i, (r, c) in enumerate(zip(inputs, colours, strict=True))
                            )
                        )
                        for place in itertools.permutations(range(branches))
                    )
                )
        assert len(keys) == len(forms)
        space = CellSpace(branches)
        space.__dict__['operations'] = tuple(named)  # fewer than any rates and grids give
        assert space.count_different() == len(keys)
        assert space.size == math.factorial(branches) * operations**branches

    def test_rates_and_grids_beyond_the_map_make_no_difference(self):
        far, farther = ([branch(0, -1, rate=[3, rate])] for rate in (12, 21))
        cells = [DenseCell.from_branches(branches) for branches in (far, farther)]
        assert cells[0].key() != cells[1].key()
        assert cells[0].key((8, 20)) != cells[1].key((8, 20))
        assert cells[0].key((8, 12)) == cells[1].key((8, 12))
        fine, finer = (
            DenseCell.from_branches([{'input': -1, 'op': 'pyramid_pooling', 'grid_size': [1, n]}])
            for n in (4, 8)
        )
        assert fine.key((9, 4)) == finer.key((9, 4)) != finer.key((9, 5))


class TestSpace:
    def test_sizes(self):
        assert CellSpace(1).size == CellSpace(1).count_different() == 81
        assert SPACE.size == 418_414_128_120
        different = [CellSpace(count).count_different() for count in range(1, 6)]
        assert different == [81, 9_882, 1_423_764, 225_405_909, 37_888_452_756]

    def test_operations_that_differ_on_small_maps(self):
        assert len(SPACE.operations) == SPACE.different_operations() == 81
        assert SPACE.different_operations((8, 10)) == 37
        assert CellSpace(1).count_different((8, 10)) == 37

    @pytest.mark.parametrize(
        ('change', 'count'), [('operation', 400), ('input', 10), ('branch', 1210)]
    )
    def test_neighbours(self, change, count):
        found = [*SPACE.neighbours(FOUND, change)]
        assert len({*found}) == len(found) == count
        assert FOUND not in found
        assert all(cell in SPACE for cell in found)

    @pytest.mark.parametrize('mutation', ['field', 'branch'])
    def test_mutations_are_neighbours(self, mutation):
        rng = np.random.default_rng(0)
        near, cell = {*SPACE.neighbours(FOUND)}, FOUND
        drawn = {SPACE.mutate(FOUND, rng, mutation) for _ in range(2000)}
        assert drawn <= near
        for _ in range(200):
            cell = SPACE.mutate(cell, rng, mutation)
            assert cell in SPACE

    def test_a_branch_is_mutated_to_each_of_its_settings_alike(self):
        space = CellSpace(2, rates=(1, 2), grids=(1,))
        cell, rng = space.sample(np.random.default_rng(0)), np.random.default_rng(1)
        drawn = [space.mutate(cell, rng, 'branch') for _ in range(6000)]
        # Six operations: 5 other settings of branch 0, 11 of branch 1.
        counts = {other: drawn.count(other) for other in space.neighbours(cell)}
        assert len(counts) == 16
        for other, count in counts.items():
            share = 1 / 2 / (5 if other.branches[1] == cell.branches[1] else 11)
            assert abs(count - 6000 * share) < 4 * math.sqrt(6000 * share * (1 - share))

    def test_samples_are_uniform(self):
        space = CellSpace(2, rates=(1,), grids=(1,))
        rng = np.random.default_rng(0)
        drawn = [space.sample(rng) for _ in range(3600)]
        counts = [drawn.count(cell) for cell in {*drawn}]
        assert len(counts) == space.size == 18
        assert max(abs(count - 200) for count in counts) < 4 * math.sqrt(200)

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'branches': 0}, 'branches of CellSpace 0'),
            ({'branches': 17}, 'branches of CellSpace 17'),
            ({'rates': (1, 65)}, 'rates of CellSpace 65'),
            ({'rates': (3, 1)}, 'rates .* rising'),
            ({'rates': (1, 1)}, 'rates .* rising'),
            ({'rates': 3}, 'rates 3'),
            ({'grids': ()}, r'grids \(\)'),
            ({'grids': (0,)}, 'grids of CellSpace 0'),
        ],
    )
    def test_refuses_spaces_without_meaning(self, options, message):
        with pytest.raises(InputError, match=message):
            CellSpace(**options)

    def test_refuses_unknown_changes(self):
        with pytest.raises(InputError, match='expected one of'):
            next(SPACE.neighbours(FOUND, 'kernel'))
        with pytest.raises(InputError, match='expected one of'):
            SPACE.mutate(FOUND, np.random.default_rng(0), 'near')


def test_drawing_shows_each_branch_below_the_one_it_reads():
    assert FOUND.draw().splitlines() == [
        'F',
        '`-- 0: 3x3 rate 1x6',
        '    |-- 1: 3x3 rate 18x15',
        '    |   `-- 2: 3x3 rate 6x3',
        '    |-- 3: 3x3 rate 1x1',
        '    `-- 4: 3x3 rate 6x21',
    ]
    assert FOUND.describe().startswith('0 <- F 3x3 rate 1x6; 1 <- 0 3x3 rate 18x15; ')
