"""From a config file and a command line to a runner: what train.py and test.py share."""

import json
import math
import os
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmbmtas import compat
from mmbmtas.engine.checkpoint_files import find_whole_checkpoint, is_whole
from mmbmtas.engine.config_file import read_config_file
from mmbmtas.engine.distributed import adapt_to_ranks, start_ranks
from mmbmtas.engine.export import architecture_of_checkpoint
from mmbmtas.engine.overrides import OverrideAction, apply_overrides, settle_inherited
from mmbmtas.engine.runner.page_runner import PageRunner
from mmbmtas.engine.task_subset import narrow_to_architecture
from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.models.backbones.branched_network import build_encoder, check_fits
from mmbmtas.writing import written_beside


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the options that every mmengine-style tool knows."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints (default: work_dirs/NAME_OF_CONFIG)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OverrideAction,
        metavar='KEY=VALUE',
        help='override entries of the config, for example model.init_cfg=None or a.b="[1,2]"',
    )
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
    cfg = read_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    return cfg


def read_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config with overrides, see :func:`settle_inherited` and :func:`apply_overrides`.

    Raises:
        FileNotFoundError: when there is no such config.
        ValueError: when an override would have no effect, or does not fit.
    """
    cfg = read_config_file(path)
    settle_inherited(cfg)
    apply_overrides(cfg, options or {})
    return cfg


def prepare_config(cfg: Config) -> Config:
    """Start the ranks, if any, and settle all that depends on them or on other entries.

    Four top-level keys of our configs are settled here, where overrides of them still count
    (what a config file computes from its keys is fixed once mmengine has read it), and a path:

    - ``architecture``, the file of a branched architecture or its content, goes to
      ``model.backbone``; where it has fewer tasks than the config, such as one, the config is
      narrowed to them.
    - ``pretrained``, a checkpoint or None, goes to ``model.backbone.init_cfg``.
    - ``single_checkpoints``, a checkpoint of a single-task network for each task or None, goes to
      ``model.init_cfg``.
    - ``total_batch_size`` is divided among the ranks and goes to the training data loaders.
    - ``model.resource_loss.latency``, a file, is looked for like the architecture's.

    Raises:
        FileNotFoundError: when the architecture's file, a latency table or a checkpoint is missing.
        ValueError: when the ranks do not divide the total batch size or would resume from
            different checkpoints, or ``single_checkpoints`` has another form.
    """
    if not isinstance(cfg.get('model'), Mapping):
        raise InputError(f'{cfg.filename or "the config"}: expected a dict model, found none')
    world_size = start_ranks(cfg)
    if world_size > 1:
        _agree_on_checkpoint(cfg)
    if cfg.get('load_from') is not None and not cfg.get('resume'):
        require_checkpoint(cfg.load_from, 'load_from')
    adapt_to_ranks(cfg)
    if cfg.get('architecture') is not None:
        if isinstance(cfg.architecture, str):
            cfg.architecture = find_beside_config(cfg.architecture, cfg.filename)
        cfg.model.backbone.architecture = cfg.architecture
        narrow_to_architecture(cfg)
    resource_loss: Any = (cfg.get('model') or {}).get('resource_loss') or {}
    if isinstance(resource_loss.get('latency'), str):
        resource_loss.latency = find_beside_config(
            resource_loss.latency, cfg.filename, 'latency table'
        )
    if cfg.get('pretrained') is not None:
        checkpoint = require_checkpoint(cfg.pretrained, 'pretrained')
        cfg.model.backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': checkpoint}
    if cfg.get('single_checkpoints'):
        checkpoints = _require_checkpoint_of_each_task(cfg.single_checkpoints)
        cfg.model.init_cfg = {'type': 'SingleCheckpoints', 'checkpoints': checkpoints}
    if 'total_batch_size' in cfg:
        batch_size, rest = divmod(cfg.total_batch_size, world_size)
        if rest:
            raise InputError(
                f'total_batch_size = {cfg.total_batch_size} cannot be shared equally by '
                f'{world_size} ranks: choose a multiple of {world_size}'
            )
        for loader in _train_dataloaders(cfg):
            loader.batch_size = batch_size
    return cfg


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


def _train_dataloaders(cfg: Config) -> Iterator[ConfigDict]:
    """Yield the data loader of training, and those that the training loop has beside it."""
    if cfg.get('train_dataloader') is not None:
        yield cfg.train_dataloader
    for key, value in (cfg.get('train_cfg') or {}).items():
        if key.endswith('dataloader'):
            yield value


def use_amp(cfg: Config) -> None:
    """Switch every optimiser to mixed precision: float16 on GPUs, bfloat16 on CPUs.

    Raises:
        ValueError: when a wrapper is of a type that has no mixed-precision twin.
    """
    prefix = 'Amp' if torch.cuda.is_available() else 'CpuAmp'
    for wrapper in _optim_wrappers(cfg.optim_wrapper):
        kind = wrapper.get('type', 'OptimWrapper')
        plain = kind.removeprefix('Cpu').removeprefix('Amp')
        if plain not in ('OptimWrapper', 'JacobianOptimWrapper'):
            raise InputError(
                f'--amp replaces wrappers of type OptimWrapper or JacobianOptimWrapper, not {kind}'
            )
        wrapper.type = prefix + plain


def _optim_wrappers(cfg: ConfigDict) -> list[ConfigDict]:
    """List the wrappers of a config, which holds one or (search) one by name."""
    if 'optimizer' in cfg:
        return [cfg]
    return [value for value in cfg.values() if isinstance(value, dict) and 'optimizer' in value]


def use_resume(cfg: Config, checkpoint: str) -> None:
    """Continue a run from a checkpoint, or with 'auto' from the last one in its work directory.

    A checkpoint that is damaged, since the run was killed while it was written, is passed over.
    With 'auto' and no checkpoint yet the run starts anew, so that a job can be restarted by the
    same command whenever it was interrupted. Checkpoints in the work directory are the user's own
    and are trusted, see ``mmbmtas.compat.trust_directory``; others are read without unpickling.

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
    compat.trust_directory(cfg.work_dir)


def use_tree_of_checkpoint(cfg: Config, checkpoint: str, options: Mapping[str, Any] | None) -> None:
    """Take the tree that a checkpoint was trained with, unless an override names one.

    Without a tree, or of another kind of network, the checkpoint is left to whoever loads it.

    Raises:
        ValueError: when the tree is for another encoder than the config's.
    """
    if 'architecture' not in cfg or 'architecture' in (options or {}) or '://' in checkpoint:
        return
    try:
        tree = architecture_of_checkpoint(checkpoint)
    except ValueError:
        return
    if encoder := cfg.model.backbone.get('encoder'):
        check_fits(tree, build_encoder(encoder), checkpoint)
    cfg.architecture = tree.to_dict()


def require_checkpoint(path: Any, key: str = 'the checkpoint') -> str:
    """Give the path back when it is a file, or an address that one of mmengine's backends reads.

    Args:
        path: What the user gave.
        key: Entry of the config that it stands in, for messages.

    Raises:
        MissingFileError: There is no such file.
        InputError: It is no text.
    """
    if not isinstance(path, str):
        raise InputError(f'{key} = {path!r}: expected the file of a checkpoint')
    if '://' not in path and not Path(path).expanduser().is_file():
        raise MissingFileError(f'{path} is not a checkpoint file: there is no such file')
    return path


def _require_checkpoint_of_each_task(paths: Any) -> dict[str, str]:
    """Give the paths of checkpoints back by task."""
    if not isinstance(paths, Mapping):
        raise InputError(
            f'single_checkpoints = {paths!r}: expected a checkpoint for each task, '
            'single_checkpoints.TASK=PATH'
        )
    return {
        task: require_checkpoint(path, f'single_checkpoints.{task}') for task, path in paths.items()
    }


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
    """Test with the config's augmentations, their predictions merged.

    Raises:
        ValueError: when the config names none.
    """
    missing = [key for key in ('tta_model', 'tta_pipeline') if cfg.get(key) is None]
    if missing:
        raise InputError(f'--tta needs {" and ".join(missing)} in the config')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


def build_runner(cfg: Config, strict: bool) -> Runner:
    """Build the runner of a prepared config.

    With ``strict`` a checkpoint must fit the model to the last tensor, as one must that is tested
    or resumed from; mmengine alone would warn, and go on with random weights. One that is resumed
    from must also hold all that a training goes on with.
    """
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else PageRunner.from_cfg(cfg)
    if strict:
        load = runner.load_checkpoint

        def load_strictly(filename: str, *args: Any, **kwargs: Any) -> Any:
            with misfit_named(filename):
                checkpoint = load(filename, *args, **{**kwargs, 'strict': True})
            if cfg.get('resume'):
                _require_state(runner, checkpoint, filename)
            return checkpoint

        runner.load_checkpoint = load_strictly
    return runner


def _require_state(runner: Runner, checkpoint: Mapping[str, Any], filename: str) -> None:
    """Refuse to resume from weights alone: optimisers and schedules would begin anew."""
    parts = ['meta', 'message_hub', 'optimizer']
    parts += ['param_schedulers'] * (runner.param_schedulers is not None)
    missing = [part for part in parts if part not in checkpoint]
    if missing:
        raise InputError(
            f'{filename} has no {", ".join(missing)}, as those have not that hold the best or '
            'published weights: a training cannot be resumed from it. load_from=FILE, without '
            '--resume, starts a new one from its weights'
        )


@contextmanager
def misfit_named(checkpoint: str | Path) -> Iterator[None]:
    """Name the checkpoint that is loaded into a model and does not fit.

    Raises:
        InputError: It does not; with the beginning of each of torch's complaints.
    """
    try:
        yield
    except InputError as error:
        if str(checkpoint) in str(error):
            raise
        raise InputError(f'{checkpoint}: {error}') from error
    except RuntimeError as error:
        raise _misfit(checkpoint, error) from error


def _misfit(checkpoint: str | Path, error: RuntimeError) -> InputError:
    lines = [textwrap.shorten(line, 250, placeholder=' ...') for line in str(error).splitlines()]
    return InputError(f'{checkpoint} does not fit the model: ' + '\n'.join(lines[:6]))


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
