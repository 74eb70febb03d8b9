"""Check that a checkpoint of an ``init_cfg`` holds weights for the module."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import PretrainedInit
from mmengine.runner import CheckpointLoader
from torch import nn

from mmbmtas.errors import InputError


def require_fitting(
    module: nn.Module,
    init_cfg: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    where: str,
    hint: str = '',
) -> None:
    """Refuse a checkpoint if no weight fits; mmengine would continue with random weights.

    Args:
        module: The module that ``init_cfg`` initialises.
        init_cfg: Its config or configs; only ``Pretrained`` is checked.
        where: Name of the module for the user.
        hint: A hint at the right prefix.

    Raises:
        InputError: No weight has the name and shape of a weight of the module.
    """
    for cfg in [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg or ():
        if cfg['type'] not in ('Pretrained', PretrainedInit):
            continue
        path, prefix = cfg['checkpoint'], cfg.get('prefix')
        content = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='current')
        weights = content.get('state_dict', content)
        start = f'{prefix.removesuffix(".")}.' if prefix else ''
        if not any(
            getattr(weights.get(start + name), 'shape', None) == getattr(own, 'shape', ())
            for name, own in module.state_dict().items()
        ):
            raise InputError(
                f'init_cfg of {where}: no weight in {path} below prefix={prefix!r} fits{hint}'
            )
