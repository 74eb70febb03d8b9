"""The networks of another model, with another context module."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from mmbmtas import launch
from mmbmtas.comparison.configs import ComparedConfigs
from mmbmtas.comparison.kinds.base import Kind, Plan, Reference
from mmbmtas.comparison.models import ModelSpec
from mmbmtas.comparison.options import flatten_options
from mmbmtas.comparison.rows import Network, Run, Tree, run_name
from mmbmtas.encoders import build_encoder
from mmbmtas.errors import InputError, UserError
from mmbmtas.structures import DenseCell

_CONTEXT = 'model.backbone.encoder.context'


class Cell(Kind):
    """The reference's networks with another context module; all else is equal, options too."""

    name = 'cell'
    keys: ClassVar = {'reference': None, 'cell': None, 'context': {}}
    references: ClassVar = {'reference': Reference('searched', any_kind=True)}
    has_tree = False  # a reference may have none
    train_step = 'train cell'

    def read(
        self, name: str, settings: Mapping[str, Any], file: Mapping[str, Any], where: str
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Check the settings of the context module."""
        context = flatten_options(settings['context'], f'{where}: context')
        if settings['cell'] is None and 'type' not in context:
            raise InputError(
                f'{where}: cell, the file of a dense prediction cell, is missing; or state another '
                "context module, such as context=dict(type='ContextModule', dilations=(1, 2))"
            )
        if 'cell' in context:
            raise InputError(f'{where}: context has a cell: state cell=FILE beside context')
        yield name, {**settings, 'context': context}

    def check(self, model: ModelSpec, configs: ComparedConfigs, where: str) -> None:
        """Check that the reference's networks can have the context module."""
        reference = configs.comparison.model(model['reference'])
        if reference.kind == 'exchange' and reference['single']:
            raise InputError(
                f'{where}: its reference {reference.name} starts from the networks of '
                f'{reference["single"]}, whose context module is another: expected a reference '
                'without single'
            )
        options = _options(model, reference)
        try:
            if reference.kind != 'exchange':
                configs.read(configs.comparison.branched, options)
                return
            network = launch.read_config(reference['config'], options)['model']
            encoder = build_encoder(network['backbone']['encoder'], reference['config'])
            with torch.device('meta'):
                encoder.build_layer(encoder.num_layers - 1)
        except UserError as error:
            raise InputError(f'{where}: {error}') from error

    def networks(
        self, plan: Plan, model: ModelSpec, seed: int, member: int
    ) -> Mapping[str, Network]:
        """Return the reference's networks, each with the context module."""
        reference = plan.comparison.model(model['reference'])
        run = plan.run(reference, seed)
        name = run_name(model, seed, member)
        own = replace(model, options=_options(model, reference))
        inputs = {} if model['cell'] is None else {'cell': DenseCell.load(model['cell']).branches}
        networks = {}
        for network, training in zip(run.networks, run.trainings, strict=True):
            # Of a network of a single task, the folder ends in the task.
            folder = name + training.name.removeprefix(run.name).removesuffix('/train')
            tree = network.tree and _transferred(plan, own, name, folder, network.tree, inputs)
            networks[folder] = Network(network.config, own.options, tree, inputs)
        return networks

    def files(self, run: Run) -> Sequence[tuple[Path, str]]:
        """Keep the cell."""
        cell = run.model['cell']
        return [] if cell is None else [(Path(cell), f'cells/{run.name}.json')]


def _options(model: ModelSpec, reference: ModelSpec) -> dict[str, Any]:
    """The overrides of the reference, those of the entry itself, and the context module."""
    context = {'_delete_': True, **model['context']}
    if model['cell'] is not None:
        context = {'type': 'DensePredictionCell', **context, 'cell': model['cell']}
    stated = {f'{_CONTEXT}.{key}': value for key, value in context.items()}
    return {**reference.options, **model.own_options, **stated}


def _transferred(
    plan: Plan,
    model: ModelSpec,
    run: str,
    folder: str,
    tree: Tree,
    inputs: Mapping[str, Any],
) -> Tree:
    """Plan the tree of the reference for the encoder with the context module."""
    step = plan.steps.tree(
        f'{folder}/tree',
        'transfer',
        model,
        (),
        more=lambda: [tree.path],
        trees={'reference': tree},
        inputs=inputs,
    )
    return plan.stored(folder.replace('/', '_'), run, step, step.output)
