"""Distributed runs with and without GPUs.

mmengine starts ranks on GPUs only: it sets the CUDA device before anything else. Without GPUs the
process group is started here, over gloo, and mmengine then finds it running.
"""

import datetime
import os
import subprocess
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info, init_dist, is_distributed
from mmengine.utils.dl_utils import set_multi_processing
from torch import distributed, nn

from mmbmtas.errors import InputError

# What each launcher calls rank, number of ranks and rank on this machine.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def start_ranks(cfg: Config) -> int:
    """Join the process group that the config's launcher started; tell the number of ranks.

    Raises:
        ValueError: when the launcher's environment variables are missing.
    """
    if cfg.launcher != 'none' and not is_distributed():
        _adopt_environment(cfg.launcher)
        environment = cfg.get('env_cfg', {})
        options = dict(environment.get('dist_cfg', {}))
        if torch.cuda.is_available():
            set_multi_processing(**environment.get('mp_cfg', {}), distributed=True)
            init_dist(cfg.launcher, **options)
        else:
            _start_gloo(cfg.launcher, options)
    return get_dist_info()[1]


def _adopt_environment(launcher: str) -> None:
    """Copy the launcher's variables to the names that torch and mmengine read."""
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise InputError(
            f'--launcher {launcher} expects {", ".join(missing)} in the environment: start the '
            'run with tools/dist_*.sh or tools/slurm_*.sh, or leave the option out'
        )
    for name, source in zip(_VARIABLES['pytorch'], _VARIABLES[launcher], strict=True):
        os.environ[name] = os.environ[source]


def _start_gloo(launcher: str, options: dict[str, Any]) -> None:
    if 'MASTER_ADDR' not in os.environ and launcher == 'slurm':
        os.environ['MASTER_ADDR'] = subprocess.getoutput(
            f'scontrol show hostname {os.environ["SLURM_NODELIST"]} | head -n1'
        )
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', str(options.get('port', 29500)))
    timeout = datetime.timedelta(seconds=options.get('timeout', 1800))
    distributed.init_process_group('gloo', timeout=timeout)


def adapt_to_ranks(cfg: Config) -> None:
    """Set what a distributed model needs: its wrapper, and normalisation over all ranks on GPUs.

    A task that is missing from a batch leaves parameters without a gradient, hence
    ``find_unused_parameters``. Synchronised batch normalisation exists on GPUs only; on CPUs each
    rank normalises its own share of the batch.

    Raises:
        ValueError: when ranks with noise of their own would normalise other candidates together.
    """
    if cfg.launcher == 'none':
        return
    wrapper = {
        'type': 'MMDistributedDataParallel',
        'find_unused_parameters': True,
        'broadcast_buffers': False,
        **cfg.get('model_wrapper_cfg', {}),
    }
    if torch.cuda.is_available():
        cfg.setdefault('sync_bn', 'torch')
        _check_noise(cfg)
    else:
        cfg.sync_bn = None
        wrapper['device_ids'] = None
        _replace_sync_bn(cfg.model)
    cfg.model_wrapper_cfg = wrapper


def _check_noise(cfg: Config) -> None:
    """Refuse a search in which the statistics of one candidate would meet those of another."""
    routing = (cfg.model.get('backbone', {}).get('routing') or {}).get('type', 'SoftRouting')
    routing = getattr(routing, '__name__', routing)
    own_noise = (cfg.get('randomness') or {}).get('diff_rank_seed', False)
    if own_noise and cfg.sync_bn and 'SoftRouting' not in str(routing):
        raise InputError(
            f'randomness.diff_rank_seed with routing {routing}: each rank would run other '
            'candidates, and synchronised normalisation needs the same. Leave diff_rank_seed out, '
            'or set sync_bn=None'
        )


def _replace_sync_bn(node: Any) -> None:
    """Turn every ``dict(type='SyncBN')`` of a config into plain batch normalisation."""
    if isinstance(node, dict):
        if node.get('type') in ('SyncBN', nn.SyncBatchNorm):
            node['type'] = 'BN'
        for child in node.values():
            _replace_sync_bn(child)
    elif isinstance(node, list | tuple):
        for child in node:
            _replace_sync_bn(child)
