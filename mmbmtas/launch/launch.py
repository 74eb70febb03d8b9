"""From a config file and a command line to a runner, for train.py and test.py."""

import json
import math
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object
from mmengine.utils import import_modules_from_strings

from mmbmtas.checkpoints import PREFIX, find_weights, is_whole
from mmbmtas.encoders import build_encoder, check_fits
from mmbmtas.engine.checkpoint_files import find_whole_checkpoint
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.launch.architectures import find_architecture
from mmbmtas.launch.config_file import read_config_file
from mmbmtas.launch.overrides import add_cfg_options, apply_overrides, refuse_idle_names
from mmbmtas.launch.ranks import adapt_to_ranks, start_ranks
from mmbmtas.launch.shared_keys import (
    FILLED_IN,
    fill_in,
    plain_datasets,
    share_batch,
)
from mmbmtas.launch.task_subset import check_metrics, narrow_to_architecture
from mmbmtas.registry import OPTIM_WRAPPERS, find_type
from mmbmtas.writing import written_beside


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the options that every mmengine-style tool knows."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder for logs and checkpoints (default: work_dirs/NAME_OF_CONFIG)'
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the ranks of a distributed run were started',
    )
    # torch.distributed's launchers add one or the other, depending on their version.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: Namespace) -> Config:
    """Read the config that a command line names, with its overrides and its work directory.

    Raises:
        FileNotFoundError: when there is no such config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    _refuse_stated_twice(args)
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def _refuse_stated_twice(args: Namespace) -> None:
    """Refuse overrides of what arguments of the command line say."""
    checkpoint = getattr(args, 'checkpoint', None)
    resume = getattr(args, 'resume', None)
    arguments = {
        'launcher': '--launcher',
        'work_dir': args.work_dir and '--work-dir',
        'load_from': (checkpoint and 'CHECKPOINT') or (resume and '--resume'),
        'resume': (checkpoint and 'CHECKPOINT') or (resume and '--resume'),
    }
    for name, argument in arguments.items():
        if argument and name in (args.cfg_options or {}):
            raise InputError(
                f'--cfg-options {name}={args.cfg_options[name]} has no effect together with '
                f'{argument}, which says the same: leave it out'
            )


def read_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config with overrides and fill in what it leaves out, see :func:`fill_in`.

    Raises:
        FileNotFoundError: when there is no such config.
        ValueError: when an override, or an assignment of a file, would have no effect, or does
            not fit.
    """
    cfg = read_config_file(path)
    refuse_idle_names(cfg)
    override(cfg, options)
    _find_cell(cfg)
    return cfg


def _find_cell(cfg: Config) -> None:
    """Look for the file of the encoder's cell beside the config too."""
    place: Any = cfg
    for name in ('model', 'backbone', 'encoder', 'context'):
        place = place.get(name) if isinstance(place, Mapping | Config) else None
    if isinstance(place, dict) and isinstance(place.get('cell'), str):
        place['cell'] = find_beside_config(place['cell'], cfg.filename, 'cell file')


def override(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Change entries of a config in place, and fill in what it leaves out.

    Raises:
        ValueError: when an override would have no effect, or does not fit.
    """
    apply_overrides(cfg, options or {})
    if any(str(name).partition('.')[0] == 'custom_imports' for name in options or {}):
        _import_custom_modules(cfg.custom_imports)  # mmengine has imported those of the file
    fill_in(cfg)


def _import_custom_modules(custom_imports: Mapping[str, Any]) -> None:
    try:
        import_modules_from_strings(**custom_imports)
    except (ImportError, TypeError) as error:
        raise InputError(f'custom_imports={dict(custom_imports)}: {error}') from error


def prepare_config(cfg: Config, training: bool = True) -> Config:
    """Start the ranks, if any, and fill in what depends on them or on other entries.

    What the config leaves out is filled in (:func:`fill_in`), and for a training
    ``total_batch_size`` is divided among the ranks (:func:`share_batch`). Files of an architecture
    and of latencies are looked for beside the config too. Where the architecture has fewer tasks
    than the config, such as one, the config is narrowed to them.

    Raises:
        FileNotFoundError: when the architecture's file, a latency table or a checkpoint is missing.
        ValueError: when the ranks do not divide the total batch size or would resume from
            different checkpoints, ``single_checkpoints`` has another form, or a metric is of a task
            that the network does not have.
    """
    if not isinstance(cfg.get('model'), Mapping):
        raise InputError(f'{cfg.filename or "the config"}: expected a dict model, found none')
    check_metrics(cfg)
    world_size = start_ranks(cfg)
    if world_size > 1:
        _agree_on_checkpoint(cfg)
    adapt_to_ranks(cfg)
    fill_in(cfg)
    _find_architecture(cfg)
    if training:
        share_batch(cfg, world_size)
    model: Any = cfg.model
    holder: Any
    for holder in (model.get('resource_loss') or {}, cfg.get('train_cfg') or {}):
        if isinstance(holder.get('latency'), str):
            holder.latency = find_beside_config(holder.latency, cfg.filename, 'latency table')
    for key, checkpoint in _checkpoints(cfg):
        require_checkpoint(checkpoint, key)
    return cfg


def _checkpoints(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Yield the checkpoints that the config's keys name, with the keys."""
    if 'model.backbone.init_cfg' in cfg[FILLED_IN]:
        yield 'pretrained', cfg.pretrained
    if 'model.init_cfg' in cfg[FILLED_IN]:
        for task, path in cfg.single_checkpoints.items():
            yield f'single_checkpoints.{task}', path
    if cfg.get('load_from') is not None and not cfg.get('resume'):
        yield 'load_from', cfg.load_from


def _find_architecture(cfg: Config) -> None:
    """Look for the architecture's file, and keep of the config what its tasks need."""
    backbone: Any = cfg.model.get('backbone') or {}
    if isinstance(path := backbone.get('architecture'), str):
        is_filled = 'model.backbone.architecture' in cfg[FILLED_IN]
        holder: Any = cfg if is_filled else backbone
        holder.architecture = find_beside_config(path, cfg.filename)
        fill_in(cfg)
    narrow_to_architecture(cfg)


def leave_out_weights(cfg: Config) -> None:
    """Let a network start from random weights: those of a checkpoint follow, or none matter."""
    model = cfg.model
    for key, holder in (('pretrained', model.get('backbone')), ('single_checkpoints', model)):
        if key in cfg:
            cfg[key] = None
        if holder is not None:
            holder.pop('init_cfg', None)


def _agree_on_checkpoint(cfg: Config) -> None:
    """Refuse to resume where ranks see different work directories: they would wait for ever."""
    own = Path(cfg.load_from).name if cfg.get('resume') and cfg.get('load_from') else None
    found = all_gather_object(own)
    if len({*found}) > 1:
        names = ', '.join(f'{rank}: {name or "none"}' for rank, name in enumerate(found))
        raise InputError(
            f'the ranks do not find the same checkpoint ({names}): work_dir = {cfg.work_dir} must '
            'be a folder that all machines see'
        )


def find_beside_config(path: str, config: str | None, what: str = 'architecture file') -> str:
    """Find a relative path from here, else from the config's folder or one of the folders above.

    Args:
        path: The path, relative or not.
        config: The config that names it.
        what: What messages call the file.

    Raises:
        FileNotFoundError: when it is nowhere there.
    """
    folders = Path(config).resolve().parents if config else ()
    for candidate in (Path(path), *(folder / path for folder in folders)):
        if candidate.is_file():
            return str(candidate)
    where = f', nor in a folder of {config} or above' if config else ''
    raise MissingFileError(f'{what} {path} not found here ({Path.cwd()}){where}')


def use_amp(cfg: Config) -> None:
    """Switch every optimiser to mixed precision: float16 on GPUs, bfloat16 on CPUs.

    Raises:
        ValueError: when a wrapper is of a type that has no mixed-precision twin.
    """
    prefix = 'Amp' if torch.cuda.is_available() else 'CpuAmp'
    names = {
        find_type(OPTIM_WRAPPERS, before + name): name
        for name in ('OptimWrapper', 'JacobianOptimWrapper')
        for before in ('', 'Amp', 'CpuAmp')
    }
    for wrapper in _optim_wrappers(cfg.optim_wrapper):
        kind = wrapper.get('type', 'OptimWrapper')
        found = find_type(OPTIM_WRAPPERS, kind, cfg.get('default_scope'))
        if found is None or found not in names:
            raise InputError(
                '--amp replaces wrappers of type OptimWrapper or JacobianOptimWrapper, not '
                f'{getattr(kind, "__name__", kind)}'
            )
        wrapper.type = prefix + names[found]


def _optim_wrappers(cfg: ConfigDict) -> list[ConfigDict]:
    """List the wrappers of a config, which holds one or (search) one by name."""
    if 'optimizer' in cfg:
        return [cfg]
    return [value for value in cfg.values() if isinstance(value, dict) and 'optimizer' in value]


def use_resume(cfg: Config, checkpoint: str) -> None:
    """Continue a run from a checkpoint, or with 'auto' from the last one in its work directory.

    A checkpoint that is damaged, since the run was killed while it was written, is passed over.
    With 'auto' and no checkpoint yet the run starts anew, so that a job can be restarted by the
    same command whenever it was interrupted.

    Raises:
        FileNotFoundError: when the named checkpoint is missing.
        ValueError: when the named checkpoint is damaged.
    """
    if checkpoint == 'auto':
        found = find_whole_checkpoint(cfg.work_dir)
        if found is None:
            return
        cfg.load_from = str(found)
    else:
        cfg.load_from = require_checkpoint(checkpoint)
        if '://' not in checkpoint and not is_whole(Path(checkpoint).expanduser()):
            raise InputError(
                f'{checkpoint} is damaged; --resume without a name takes the last whole checkpoint '
                'of the work directory'
            )
    cfg.resume = True


def use_architecture_of_checkpoint(
    cfg: Config, checkpoint: str, options: Mapping[str, Any] | None
) -> None:
    """Take the architecture that a checkpoint was trained with, unless an override names one.

    Of another kind of network, the checkpoint is left to whoever loads it.

    Raises:
        ValueError: when the checkpoint can't be read, or its architecture is for another encoder
            than the config's.
    """
    given = {'architecture', 'model.backbone.architecture'} & {*(options or {})}
    backbone = cfg.model.get('backbone')
    if backbone is None or given or '://' in checkpoint:
        return
    if backbone.get('architecture') is None and cfg.get('architecture') is None:
        return
    architecture = find_architecture(checkpoint)
    if architecture is None:
        return
    if encoder := backbone.get('encoder'):
        check_fits(architecture, build_encoder(encoder), checkpoint)
    backbone.architecture = architecture.to_dict()


def require_checkpoint(path: Any, key: str = 'the checkpoint') -> str:
    """Return the path if it is a file, or an address that one of mmengine's backends reads.

    Args:
        path: What the user gave.
        key: Entry of the config that it stands in, for messages.

    Raises:
        MissingFileError: There is no such file.
        InputError: It is no text.
    """
    if not isinstance(path, str):
        raise InputError(f'{key} = {path!r}: expected the file of a checkpoint')
    if path.startswith(PREFIX):
        find_weights(path)
    elif '://' not in path and not Path(path).expanduser().is_file():
        raise MissingFileError(f'{path} is not a checkpoint file: there is no such file')
    return path


def use_drawing(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    """Let the visualisation hook draw, on the screen or as PNG files into a folder.

    It then draws every sample, unless the config names the hook's ``interval``.

    Raises:
        ValueError: when the config has no such hook.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise InputError(
            '--show and --show-dir need default_hooks.visualization in the config, for example '
            "dict(type='MultiTaskVisualizationHook')"
        )
    hook.draw = True
    hook.setdefault('interval', 1)
    if show:
        hook.update(show=True, wait_time=wait_time)
    if show_dir is not None:
        hook.show_dir = show_dir


def use_tta(cfg: Config) -> None:
    """Test on several views of each image (``tta_pipeline``), averaged by ``tta_model``.

    Raises:
        ValueError: when the config lacks one of the two.
    """
    missing = [key for key in ('tta_model', 'tta_pipeline') if cfg.get(key) is None]
    if missing:
        raise InputError(f'--tta needs {" and ".join(missing)} in the config')
    for dataset in plain_datasets(cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


def write_metrics(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Write metrics as one flat JSON object; a reader never sees half of it.

    Numbers that JSON lacks (infinite, not a number) become null.
    """
    plain = {key: _json_number(value) for key, value in metrics.items()}
    with written_beside(path) as beside:
        beside.write_text(json.dumps(plain, indent=2, allow_nan=False) + '\n')


def _json_number(value: Any) -> Any:
    value = value.item() if hasattr(value, 'item') else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
