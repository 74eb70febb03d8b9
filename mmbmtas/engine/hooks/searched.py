"""The loop that hooks of a search look at."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbmtas.engine.runner.search_loop import BranchedSearchLoop
from mmbmtas.errors import InputError


def search_loop_of(runner: Runner, hook: Hook) -> BranchedSearchLoop:
    """Return a runner's search loop: where it is (``plan``, ``position``) and its ``model``.

    Args:
        runner: The runner.
        hook: Who asks, for the message.

    Raises:
        InputError: The runner trains something else.
    """
    loop: Any = runner.train_loop
    if not all(hasattr(loop, name) for name in ('plan', 'position', 'model')):
        raise InputError(
            f'{type(hook).__name__} goes with a search loop, found {type(loop).__name__}: remove '
            'it from the hooks of the config'
        )
    return loop
