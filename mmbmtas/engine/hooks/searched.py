"""Access to the search loop for the hooks of a search."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbmtas.engine.runner.branched_search_loop import BranchedSearchLoop
from mmbmtas.engine.runner.search_loop import SearchLoop
from mmbmtas.errors import InputError


def search_loop_of(runner: Runner, hook: Hook) -> SearchLoop:
    """Return a runner's search loop: its ``model``, and what that costs.

    Args:
        runner: The runner.
        hook: Who asks, for the message.

    Raises:
        InputError: The runner trains something else.
    """
    return _loop_with(runner, hook, ('model', 'measured', 'export_architecture'), 'a search loop')


def phases_of(runner: Runner, hook: Hook) -> BranchedSearchLoop:
    """Return the loop of a search in phases: where it is (``plan``, ``position``), its ``model``.

    Raises:
        InputError: As :func:`search_loop_of`, or the search has no phases.
    """
    what = 'a search loop with phases (BranchedSearchLoop)'
    return _loop_with(runner, hook, ('plan', 'position', 'model'), what)


def _loop_with(runner: Runner, hook: Hook, names: tuple[str, ...], what: str) -> Any:
    loop: Any = runner.train_loop
    if not all(hasattr(loop, name) for name in names):
        raise InputError(
            f'{type(hook).__name__} works only with {what}, found {type(loop).__name__}: remove '
            'it from the hooks of the config'
        )
    return loop
