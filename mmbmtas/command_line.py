"""The command ``mmbmtas``: runs the tools, those of the installed package or of the repository."""

import ast
import os
import shlex
import sys
import types
from collections.abc import Sequence
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim' / 'tools'
"""The tools: in the repository a link to ``tools``, in an installed package a copy."""

COMMANDS: dict[str, str] = {
    'new-project': 'new_project.py',
    'search': 'train.py',
    'retrain': 'train.py',
    'train': 'train.py',
    'test': 'test.py',
    'infer': 'infer.py',
    'search-cell': 'search_cell.py',
    'export': 'export_onnx.py',
    'compare': 'compare.py',
    'export-architecture': 'export_architecture.py',
    'plot-architecture': 'analysis_tools/plot_architecture.py',
    'get-madds': 'analysis_tools/get_madds.py',
    'measure-latency': 'analysis_tools/measure_latency.py',
    'eval-edges': 'analysis_tools/eval_edges.py',
    'check-dataset': 'dataset_converters/check_dataset.py',
    'prepare-dataset': 'dataset_converters/prepare_dataset.py',
    'convert-nyudv2': 'dataset_converters/nyudv2.py',
    'convert-pascal': 'dataset_converters/pascal_context.py',
    'synthetic-scenes': 'dataset_converters/synthetic_scenes.py',
    'browse-dataset': 'misc/browse_dataset.py',
    'print-config': 'misc/print_config.py',
}
"""The tool of each command, below :data:`TOOLS`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tool that the first argument names with the others.

    The tool runs as ``python tools/NAME.py`` would run it, in this process.

    Args:
        arguments: Those of the command line, by default.

    Raises:
        SystemExit: The tool ends with a status, or there is no such command.
    """
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    if not words or words[0] in ('-h', '--help', 'help'):
        print(_overview())
        raise SystemExit(0 if words else 2)
    if words[0] in ('--version', 'version'):
        from mmbmtas.version import __version__

        print(f'mmbmtas {__version__}')
        return
    if words[0] not in COMMANDS:
        print(
            f'error: mmbmtas has no command {words[0]!r}: expected one of {", ".join(COMMANDS)}',
            file=sys.stderr,
        )
        raise SystemExit(2)
    _run(TOOLS / COMMANDS[words[0]], [f'mmbmtas {words[0]}', *words[1:]])


def _run(tool: Path, words: list[str]) -> None:
    """Run a script as Python does; ``runpy`` would not let it call itself by the command's name."""
    module = types.ModuleType('__main__')
    module.__file__ = str(tool)
    before = sys.argv, sys.path[:], sys.modules['__main__']
    sys.argv = words
    sys.path.insert(0, str(tool.parent))
    sys.modules['__main__'] = module
    try:
        exec(compile(tool.read_bytes(), str(tool), 'exec'), module.__dict__)
    finally:
        sys.argv, sys.path[:], sys.modules['__main__'] = before


def typed(arguments: Sequence[str]) -> str:
    """Write the command that runs this tool again, as the user has typed it.

    Args:
        arguments: What follows the tool's name.
    """
    name = sys.argv[0]
    start = f'python {shlex.quote(os.path.relpath(name))}' if name.endswith('.py') else name
    return f'{start} {shlex.join(arguments)}'.strip()


def _overview() -> str:
    lines = ['usage: mmbmtas COMMAND ...', '', 'commands (each has --help):']
    lines += [f'  {name:21}{_purpose(tool)}' for name, tool in COMMANDS.items()]
    return '\n'.join(lines)


def _purpose(tool: str) -> str:
    """The first line of a tool's docstring, read without running it."""
    text = ast.get_docstring(ast.parse((TOOLS / tool).read_text(encoding='utf-8'))) or ''
    return text.partition('\n')[0].rstrip('.')
