"""Imports go one way between the rooms of the package, as docs/design.md draws them."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'mmbmtas'

# Room: the rooms that it may import from, beside itself.
MAY_IMPORT: dict[str, set[str]] = {
    'version': set(),
    'compat': {'errors', 'checkpoints'},
    'checkpoints': {'errors'},
    'registry': {'errors', 'foreign'},
    'foreign': {'errors'},
    'devices': set(),
    'errors': set(),
    'extras': {'errors'},
    'writing': {'errors'},
    'reading': {'errors'},
    'progress': {'errors'},
    'moved': set(),
    '__init__': {'compat', 'moved', 'version'},
    '__main__': {'command_line'},
    'command_line': {'version'},
    'structures': {'devices', 'errors', 'writing'},
    'cost': {'devices', 'errors', 'structures'},
    'grouping': {'errors', 'structures'},
    'losses': {'devices', 'errors', 'cost', 'structures', 'registry'},
    'encoders': {'errors', 'extras', 'cost', 'structures', 'registry'},
    'models': {
        'devices',
        'errors',
        'checkpoints',
        'encoders',
        'losses',
        'cost',
        'structures',
        'registry',
    },
    'paths': {'devices', 'errors', 'encoders', 'models', 'cost', 'structures', 'registry'},
    'datasets': {
        'errors',
        'foreign',
        'structures',
        'registry',
        'reading',
        'writing',
        'progress',
    },
    'conversion': {'errors', 'datasets', 'structures', 'reading', 'writing'},
    'scenes': {'errors', 'datasets', 'structures', 'writing'},
    'pocket': {'errors', 'extras', 'scenes', 'structures', 'writing'},
    'evaluation': {'errors', 'structures', 'registry', 'reading', 'progress', 'writing'},
    'visualization': {'errors', 'structures', 'registry', 'writing'},
    'engine': {
        'devices',
        'errors',
        'extras',
        'foreign',
        'models',
        'paths',
        'losses',
        'evaluation',
        'visualization',
        'cost',
        'grouping',
        'structures',
        'registry',
        'writing',
        'checkpoints',
        'version',
    },
    'launch': {
        'errors',
        'engine',
        'encoders',
        'models',
        'paths',
        'cost',
        'evaluation',
        'grouping',
        'structures',
        'registry',
        'writing',
        'checkpoints',
        'compat',
    },
    'comparison': {
        'errors',
        'deploy',
        'launch',
        'engine',
        'encoders',
        'models',
        'paths',
        'evaluation',
        'visualization',
        'cost',
        'grouping',
        'structures',
        'registry',
        'writing',
        'progress',
        'checkpoints',
    },
    'deploy': {
        'errors',
        'extras',
        'launch',
        'models',
        'paths',
        'cost',
        'structures',
        'registry',
        'writing',
        'version',
    },
    'projects': {
        'errors',
        'datasets',
        'visualization',
        'registry',
        'reading',
        'writing',
        'progress',
    },
    'cells': {
        'errors',
        'launch',
        'engine',
        'encoders',
        'models',
        'paths',
        'evaluation',
        'visualization',
        'cost',
        'structures',
        'registry',
        'writing',
        'progress',
        'checkpoints',
    },
    'apis': {
        'errors',
        'checkpoints',
        'deploy',
        'launch',
        'models',
        'paths',
        'visualization',
        'structures',
        'registry',
        'reading',
        'writing',
    },
}
LARGEST_SHARE = 0.15  # of the package's lines, in one room
LONGEST = 400  # lines of a module
MM_PACKAGES = {'mmcv', 'mmengine', 'mmseg', 'mmpretrain', 'mmdet'}
# Modules that serve without any mm package, and the exceptions among them.
PURE = (
    'mmbmtas.devices',
    'mmbmtas.errors',
    'mmbmtas.writing',
    'mmbmtas.reading',
    'mmbmtas.progress',
    'mmbmtas.structures',
    'mmbmtas.cost',
    'mmbmtas.grouping',
    'mmbmtas.evaluation.functional',
)
PURE_FOLDERS = ('mmbmtas.evaluation.edges',)
NOT_PURE = ('mmbmtas.structures.data_sample',)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob('*.py'))}


def _targets(node: ast.AST, module: str) -> Iterator[str]:
    """Yield the full names that an import statement asks for, most specific first."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ''
        if node.level:
            inside = module.split('.')
            if MODULES[module].name != '__init__.py':
                inside = inside[:-1]
            folder = inside[: len(inside) - node.level + 1]
            base = '.'.join([*folder, *filter(None, [node.module])])
        for alias in node.names:
            name = f'{base}.{alias.name}'
            yield name if name in MODULES else base


@cache
def _imports(module: str) -> frozenset[str]:
    """Collect what a module imports anywhere, inside functions too."""
    tree = ast.parse(MODULES[module].read_text())
    return frozenset(name for node in ast.walk(tree) for name in _targets(node, module))


def _ours(module: str) -> frozenset[str]:
    return frozenset(name for name in _imports(module) if name.partition('.')[0] == 'mmbmtas')


def _room(module: str) -> str:
    return module.split('.')[1] if '.' in module else '__init__'


def _is_pure(module: str) -> bool:
    inside = any(module == name or module.startswith(f'{name}.') for name in PURE + PURE_FOLDERS)
    return inside and module not in NOT_PURE


def test_modules_were_found():
    rooms = {_room(module) for module in MODULES}
    assert rooms == set(MAY_IMPORT), 'a new room needs its line in MAY_IMPORT and docs/design.md'
    assert 'mmbmtas.structures.tasks' in _ours('mmbmtas.structures')
    assert any('mmengine' in name for name in _imports('mmbmtas.registry'))


def test_our_imports_name_modules_that_exist():
    lost = {
        module: sorted(names - MODULES.keys())
        for module in MODULES
        if (names := _ours(module)) - MODULES.keys()
    }
    assert not lost


@pytest.mark.parametrize('room', sorted(MAY_IMPORT))
def test_rooms_import_in_one_direction(room):
    wrong = [
        f'{module} imports {name}'
        for module in MODULES
        if _room(module) == room
        for name in _ours(module)
        if _room(name) not in MAY_IMPORT[room] | {room}
    ]
    assert not wrong


def test_modules_do_not_import_one_another_in_circles():
    try:
        TopologicalSorter({module: _ours(module) - {module} for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(' -> '.join(error.args[1]))


def test_pure_modules_need_no_mm_package():
    pure = [module for module in MODULES if _is_pure(module)]
    assert len(pure) > len(PURE)
    wrong = [
        f'{module} imports {name}'
        for module in pure
        for name in _imports(module)
        if name.partition('.')[0] in MM_PACKAGES
        or (name.partition('.')[0] == 'mmbmtas' and not _is_pure(name))
    ]
    assert not wrong


def test_no_room_outgrows_the_others():
    lines: Counter[str] = Counter()
    for module, path in MODULES.items():
        lines[_room(module)] += len(path.read_text().splitlines())
    shares = {room: count / lines.total() for room, count in lines.items()}
    assert len(shares) > 10
    largest = {room: round(share, 3) for room, share in shares.items() if share > LARGEST_SHARE}
    assert not largest, 'a room with more than one trade: split it'


def test_no_module_is_long():
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    long = {module: length for module, length in lengths.items() if length > LONGEST}
    assert not long, 'a module with more than one trade: split it'


def _private_names(module: str) -> Iterator[str]:
    """Yield the private names of other modules of ours that a module imports."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and 'mmbmtas' in next(_targets(node, module)):
            names = [*(node.module or '').split('.'), *(alias.name for alias in node.names)]
            yield from (name for name in names if re.match('_[^_]', name))


def test_modules_import_public_names_of_one_another():
    wrong = {module: names for module in MODULES if (names := [*_private_names(module)])}
    assert not wrong


def test_the_package_does_not_import_tools_or_tests():
    wrong = [
        f'{module} imports {name}'
        for module in MODULES
        for name in _imports(module)
        if name.partition('.')[0] in ('tools', 'tests', 'benchmarks', 'benchmarking')
    ]
    assert not wrong
