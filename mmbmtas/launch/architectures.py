"""The architecture inside a checkpoint: a tree, or paths."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmbmtas.checkpoints import require_finite
from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.models.backbones.state import STATE, decode_architecture, decode_json, kind_of
from mmbmtas.paths.domains import as_domains
from mmbmtas.paths.supernet import (
    build_policy,
    most_probable_paths,
    searched_candidates,
)
from mmbmtas.structures import BranchedArchitecture, PathArchitecture, RoutedArchitecture
from mmbmtas.structures.paths import CHANGED_FOR_BUDGET
from mmbmtas.structures.routed import Routed

_ARCH_PARAMS = 'backbone.arch_params'
_POLICY = 'backbone.policy.'


def architecture_of_checkpoint(path: str | PathLike) -> RoutedArchitecture:
    """Return the architecture of a checkpoint: what the search exports, or it was trained with.

    For a search it is the most probable one, unless some choices were changed to meet a budget.

    Nothing of the checkpoint is executed: its config, which is Python, is not read.

    Args:
        path: A checkpoint of a search, of a branched network or of a network of paths.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The checkpoint is of neither.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: no such checkpoint')
    architecture = find_architecture(path)
    if architecture is None:
        raise InputError(
            f'{path} holds no architecture: {STATE} is missing among its weights. Expected a '
            'checkpoint of a BranchedSupernet, a BranchedNetwork, a PathSupernet or a PathNetwork'
        )
    return architecture


def find_architecture(path: str | PathLike) -> RoutedArchitecture | None:
    """Return the architecture of a checkpoint, as above, or None where it is of another network.

    Raises:
        InputError: The checkpoint can't be read, or its architecture can't.
    """
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    weights = checkpoint.get('state_dict', {})
    if STATE not in weights:
        return None
    state = decode_json(weights[STATE], str(path))
    if kind_of(state) == 'search' and 'domains' in state:
        return _written_with_costs(_searched_paths(state, weights, path), checkpoint, path)
    if kind_of(state) != 'search' or _ARCH_PARAMS not in weights:
        return decode_architecture(
            weights[STATE],
            str(path),
            RoutedArchitecture,  # type: ignore[type-abstract]
        )
    require_finite({_ARCH_PARAMS: weights[_ARCH_PARAMS]}, path)
    if missing := [key for key in ('tasks', 'encoder') if key not in state]:
        raise InputError(f'{path}: {STATE} names no {missing[0]}')
    tree = BranchedArchitecture.from_arch_params(
        weights[_ARCH_PARAMS], tasks=state['tasks'], encoder=state['encoder']
    )
    return _written_with_costs(tree, checkpoint, path)


def _searched_paths(
    state: Mapping[str, Any], weights: Mapping[str, Tensor], path: str | PathLike
) -> PathArchitecture:
    """Return the most probable paths of a search."""
    own = {
        name.removeprefix(_POLICY): value
        for name, value in weights.items()
        if name.startswith(_POLICY)
    }
    require_finite(own, path)
    if missing := [key for key in ('encoder', 'policy') if key not in state]:
        raise InputError(f'{path}: {STATE} names no {missing[0]}')
    encoder = build_encoder(state['encoder'], str(path))
    domains = as_domains(state['domains'])
    policy = build_policy(state['policy'], searched_candidates(encoder), [*domains])
    try:
        policy.load_state_dict(own)
    except RuntimeError as error:
        raise InputError(f'{path}: its policies are damaged: {error}') from error
    return most_probable_paths(policy, encoder)


def _written_with_costs(
    found: Routed, checkpoint: Mapping[str, Any], path: str | PathLike
) -> Routed:
    """Say where an architecture came from; add the costs that the search had measured for it."""
    meta = checkpoint.get('meta', {})
    details = {
        'checkpoint': Path(path).name,
        'iteration': meta.get('iter'),
        'seed': meta.get('seed'),
    }
    found = replace(found, source=details)
    written = meta.get('architecture')
    if written is not None:
        written = RoutedArchitecture.from_dict(written, path)
        if written == found:
            return replace(found, layers=written.layers, madds=written.madds)
        changed = written.source if isinstance(written.source, dict) else {}
        if (
            isinstance(written, type(found))
            and (written.tasks, written.encoder) == (found.tasks, found.encoder)
            and CHANGED_FOR_BUDGET in changed
        ):
            own = {**details, CHANGED_FOR_BUDGET: changed[CHANGED_FOR_BUDGET]}
            return replace(written, source=own)
    return found
