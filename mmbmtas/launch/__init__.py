"""From a config file and a command line to a runner: ``read_config``, ``build_runner``."""

from .building import TRAINING_DATA, build_runner, require_data, runner_of
from .launch import (
    add_common_arguments,
    find_beside_config,
    leave_out_weights,
    load_config,
    override,
    prepare_config,
    read_config,
    require_checkpoint,
    use_amp,
    use_architecture_of_checkpoint,
    use_drawing,
    use_resume,
    use_tta,
    write_metrics,
)
from .shared_keys import fill_in

__all__ = [
    'TRAINING_DATA',
    'add_common_arguments',
    'build_runner',
    'fill_in',
    'find_beside_config',
    'leave_out_weights',
    'load_config',
    'override',
    'prepare_config',
    'read_config',
    'require_checkpoint',
    'require_data',
    'runner_of',
    'use_amp',
    'use_architecture_of_checkpoint',
    'use_drawing',
    'use_resume',
    'use_tta',
    'write_metrics',
]
