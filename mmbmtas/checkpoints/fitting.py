"""Whether a checkpoint that an ``init_cfg`` names holds anything for the module."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import CheckpointLoader
from torch import nn

from mmbmtas.errors import InputError


def require_fitting(
    module: nn.Module,
    init_cfg: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    where: str,
    hint: str = '',
) -> None:
    """Refuse a checkpoint of which no weight fits; mmengine would go on with random ones.

    Args:
        module: What ``init_cfg`` initialises.
        init_cfg: Its config or configs; all but ``Pretrained`` are left alone.
        where: What the user calls the module.
        hint: What the prefix should be.

    Raises:
        InputError: No weight has the name and the shape of one of the module's.
    """
    for cfg in [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg or ():
        if cfg['type'] != 'Pretrained':
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
