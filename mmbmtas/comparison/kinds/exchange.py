"""Networks whose encoders exchange features."""

from collections.abc import Mapping
from typing import ClassVar

from mmbmtas import launch
from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.kinds.base import Kind, Plan, Reference
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.rows import Network, run_name
from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError
from mmbmtas.launch.jobs import Step


class Exchange(Kind):
    """A config such as those of ``configs/exchange``."""

    name = 'exchange'
    keys: ClassVar = {'config': None, 'single': None}
    references: ClassVar = {'single': Reference('single', optional=True)}
    has_tree = False
    train_step = 'train exchange'  # takes more time than a tree

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that the config is for the tasks and the encoder of the branched networks."""
        path, branched = model['config'], configs.branched
        network = launch.read_config(path, model.options).get('model') or {}
        configs.check_tasks(network.get('decode_heads', {}), path, where)
        encoder = (network.get('backbone') or {}).get('encoder', branched.encoder)
        own, other = build_encoder(encoder, path).to_config(), branched.encoder.to_config()
        if own != other:
            raise InputError(
                f'{where}: the encoder of {path} is {own}, that of '
                f'{configs.comparison.branched} {other}'
            )

    def networks(
        self, plan: Plan, model: ModelSpec, seed: int, member: int
    ) -> Mapping[str, Network]:
        """Return the network of the config."""
        return {run_name(model, seed, member): Network(model['config'], model.options, None)}

    def starts(self, plan: Plan, model: ModelSpec, seed: int) -> Mapping[str, Step]:
        """Start from single-task networks, if the model names some."""
        if not model['single']:
            return {}
        single = plan.run(plan.comparison.model(model['single']), seed)
        return dict(zip(plan.tasks, single.trainings, strict=True))
