"""Child registries of mmengine's roots: names in configs resolve here first, then in mmengine.

Each registry imports its ``locations`` the first time something is built from it, so that
``import mmbmtas`` stays light. Components of other packages are reached by their prefix, for
example ``type='mmseg.CrossEntropyLoss'``.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
)
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry, build_from_cfg

from mmbmtas.errors import InputError
from mmbmtas.foreign import keep_labels_in_place

SCOPE = 'mmbmtas'


def _build_transform(cfg: dict[str, Any], registry: Registry, **given: Any) -> Any:
    """Build a transform that leaves no label behind; see :mod:`mmbmtas.foreign`."""
    return keep_labels_in_place(build_from_cfg(cfg, registry, **given))


DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope=SCOPE, locations=['mmbmtas.datasets']
)
TRANSFORMS = Registry(
    'transform',
    build_func=_build_transform,
    parent=MMENGINE_TRANSFORMS,
    scope=SCOPE,
    locations=['mmbmtas.datasets.transforms'],
)
FUNCTIONS = Registry(
    'function', parent=MMENGINE_FUNCTIONS, scope=SCOPE, locations=['mmbmtas.datasets']
)
MODELS = Registry(
    'model',
    parent=MMENGINE_MODELS,
    scope=SCOPE,
    locations=[
        'mmbmtas.encoders',
        'mmbmtas.models',
        'mmbmtas.paths',
        'mmbmtas.losses',
        'mmbmtas.deploy',
    ],
)
TASK_UTILS = Registry(
    'task util', parent=MMENGINE_TASK_UTILS, scope=SCOPE, locations=['mmbmtas.encoders']
)
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope=SCOPE, locations=['mmbmtas.evaluation'])
EVALUATORS = Registry(
    'evaluator', parent=MMENGINE_EVALUATOR, scope=SCOPE, locations=['mmbmtas.evaluation']
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope=SCOPE, locations=['mmbmtas.engine.hooks'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope=SCOPE, locations=['mmbmtas.engine.runner'])
OPTIM_WRAPPERS = Registry(
    'optim wrapper',
    parent=MMENGINE_OPTIM_WRAPPERS,
    scope=SCOPE,
    locations=['mmbmtas.engine.optimizers'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optim wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope=SCOPE,
    locations=['mmbmtas.engine.optimizers'],
)
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    scope=SCOPE,
    locations=['mmbmtas.visualization'],
)
VISBACKENDS = Registry(
    'vis_backend',
    parent=MMENGINE_VISBACKENDS,
    scope=SCOPE,
    locations=['mmbmtas.visualization'],
)

DATA_SAMPLERS = Registry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    scope=SCOPE,
    locations=['mmbmtas.datasets'],
)

# Nothing of ours is in these; without them, and without a location, mmengine warns that the scope
# lacks them.
_HERE = ['mmbmtas.registry']
OPTIMIZERS = Registry('optimizer', parent=MMENGINE_OPTIMIZERS, scope=SCOPE, locations=_HERE)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler', parent=MMENGINE_PARAM_SCHEDULERS, scope=SCOPE, locations=_HERE
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=MMENGINE_WEIGHT_INITIALIZERS, scope=SCOPE, locations=_HERE
)


def build_kind(
    registry: Registry, cfg: Mapping[str, Any], base: type, name: str, **given: Any
) -> Any:
    """Build an object of a class that must derive from another.

    Args:
        registry: Where the class is registered.
        cfg: Its config: ``type`` and the arguments of the class.
        base: What the class must derive from.
        name: The config's name, for messages.
        given: Arguments that ``cfg`` need not have.

    Raises:
        ValueError: There is no such class of this type, or it takes other arguments.
    """
    options = {**given, **cfg}
    kind = options.pop('type', None)
    found = registry.get(kind) if isinstance(kind, str) else kind
    if not _derives(found, base):
        known = sorted(key for key, value in registry.module_dict.items() if _derives(value, base))
        raise InputError(f'{name} of type {kind!r}: expected one of {known}')
    try:
        inspect.signature(found).bind(**options)
    except TypeError as error:
        raise InputError(f'{name} {dict(cfg)} does not fit {kind}: {error}') from error
    return found(**options)


def find_registered(registry: Registry, kind: Any, base: type, name: str) -> Any:
    """Return a class that is registered already, whatever the default scope.

    mmengine's registries import and call whatever a name says, ``subprocess.Popen`` included; so
    configs of strangers' files are looked up here.

    Args:
        registry: Where the class is registered; its parents are not looked at.
        kind: The class or its name.
        base: What the class must derive from.
        name: What messages call the config.

    Raises:
        InputError: There is no such class.
    """
    known = {key: value for key, value in registry.module_dict.items() if _derives(value, base)}
    found = known.get(kind.removeprefix(f'{SCOPE}.')) if isinstance(kind, str) else kind
    if not isinstance(found, type) or found not in known.values():
        raise InputError(f'{name} type {kind!r}, expected one of {sorted(known)}')
    return found


def _derives(value: Any, base: type | tuple[type, ...]) -> bool:
    return isinstance(value, type) and issubclass(value, base)


def find_type(registry: Registry, kind: Any, scope: str | None = None) -> Any:
    """Return the class, or function, that a config's ``type`` names.

    Args:
        registry: Where a name is looked up.
        kind: A name, with its package's prefix or not, or the class itself, as configs of
            mmengine's newer style have it.
        scope: The config's default scope, ours by default.

    Returns:
        The class; None where there is no such name.
    """
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(scope or SCOPE) as scoped:
        return scoped.get(kind)


def is_type(
    registry: Registry, kind: Any, base: type | tuple[type, ...], scope: str | None = None
) -> bool:
    """Tell whether a config's ``type`` is a class, or one derived from it, however it is named."""
    return _derives(find_type(registry, kind, scope), base)


def takes(registry: Registry, cfg: Mapping[str, Any], name: str, scope: str | None = None) -> bool:
    """Tell whether what a config builds takes an argument; yes where it has no ``type``."""
    kind = cfg.get('type')
    return kind is None or _has_parameter(find_type(registry, kind, scope), name)


def _has_parameter(kind: Any, name: str) -> bool:
    """Look for a parameter, also in the bases that ``**kwargs`` may be handed on to."""
    if not isinstance(kind, type):
        return callable(kind) and name in inspect.signature(kind).parameters
    for cls in kind.__mro__:
        if '__init__' not in vars(cls):
            continue
        parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
        if name in parameters:
            return True
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            return False
    return False
