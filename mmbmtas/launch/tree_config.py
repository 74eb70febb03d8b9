"""From the config of a search or of a branched network to trees for its tasks and encoder."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmbmtas.cost import NetworkCost
from mmbmtas.encoders import Encoder, build_encoder, check_fits
from mmbmtas.errors import InputError
from mmbmtas.grouping import Tree
from mmbmtas.launch import launch
from mmbmtas.launch.overrides import add_cfg_options
from mmbmtas.registry import MODELS, SCOPE, takes
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.writing import file_place


@dataclass(frozen=True)
class TreeConfig:
    """The trees that fit a config.

    Attributes:
        cfg: The config.
        tasks: Task names in the order of the architecture.
        encoder: The encoder.
        encoder_cfg: Its config, with what a tree does not fix.
        cost: Costs of the network's parts at ``shape``.
        shape: Height and width at which costs are stated, the config's ``cost_shape``.
    """

    cfg: Config
    tasks: tuple[str, ...]
    encoder: Encoder
    encoder_cfg: dict[str, Any]
    cost: NetworkCost
    shape: tuple[int, int]

    @property
    def fixed_madds(self) -> int:
        """Multiply-adds of what every tree of all tasks has once: the stem and the decoders."""
        return self.cost.shared().madds - sum(self.cost.layer_madds)

    def model_config(self, tree: BranchedArchitecture) -> dict[str, Any]:
        """Return the config of a network of this tree with the config's decoders."""
        return _model_config(self.cfg, self.encoder_cfg, tree)

    def architecture(
        self, tree: Tree, source: dict[str, Any], task: str | None = None
    ) -> BranchedArchitecture:
        """Describe a tree of all tasks, or of one, with what it costs.

        Args:
            tree: Grouping of each layer.
            source: How it was made; the config's name is added.
            task: The task of a tree of one task.
        """
        return self.with_costs(
            BranchedArchitecture.from_groupings(
                self.tasks if task is None else [task],
                self.encoder.to_config(),
                tree,
                layers=self.encoder.layer_names,
                madds=None,
                source={**source, 'config': Path(self.cfg.filename or '').name or None},
            )
        )

    def madds_of(self, path: str) -> int:
        """Return the multiply-adds of a whole network, of which a file holds the tree.

        Raises:
            ValueError: The file is no architecture, or one of another encoder or of other tasks.
        """
        reference = BranchedArchitecture.load(path)
        check_fits(reference, self.encoder, path)
        if set(reference.tasks) != set(self.tasks):
            raise InputError(
                f'{path} is for the tasks {[*reference.tasks]}, {self.cfg.filename} for '
                f'{[*self.tasks]}'
            )
        return self.cost.tree(reference).madds

    def transferred(self, path: str | Path) -> BranchedArchitecture:
        """Give the tree in a file this config's encoder, with what it then costs.

        The encoder may differ in anything that leaves its layers as they are: in its context
        module, or in its widths.

        Raises:
            ValueError: The file is no architecture, one of other layers, or of tasks that the
                config lacks.
        """
        tree = BranchedArchitecture.load(path)
        if lost := [task for task in tree.tasks if task not in self.tasks]:
            raise InputError(
                f'{path} is for the tasks {[*tree.tasks]}, {self.cfg.filename} for '
                f'{[*self.tasks]}: {lost[0]} is missing'
            )
        layers = tuple(build_encoder(tree.encoder, str(path)).layer_names)
        if layers != tuple(self.encoder.layer_names):
            raise InputError(
                f'{path} is a tree of {len(layers)} layers of {tree.encoder}, the encoder of '
                f'{self.cfg.filename} has {self.encoder.num_layers} others: expected layers of '
                'the same names'
            )
        content = {
            **tree.to_dict(),
            'encoder': self.encoder.to_config(),
            'layers': [*layers],
            'madds': None,
            'source': {'method': 'transferred', 'from': tree.source},
        }
        return self.with_costs(BranchedArchitecture.from_dict(content))

    def with_costs(self, architecture: BranchedArchitecture) -> BranchedArchitecture:
        """State what an architecture costs."""
        network = self.cost.tree(architecture)
        madds = {
            'shape': [*self.shape],
            'network': network.madds,
            'network_paper': network.madds_paper,
            'layers': [*self.cost.layer_madds],
        }
        return BranchedArchitecture.from_dict({**architecture.to_dict(), 'madds': madds})


def read_tree_config(path: str, options: dict[str, Any] | None = None) -> TreeConfig:
    """Read a config and measure its network's parts; nothing of the network is computed.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: The config is of neither a search nor a branched network.
    """
    cfg = launch.read_config(path, options)
    init_default_scope(cfg.get('default_scope', SCOPE))
    model = cfg.get('model') or {}
    backbone = model.get('backbone') or {}
    if 'decode_heads' not in model or not {'encoder', 'architecture'} & set(backbone):
        raise InputError(
            f'{path} is not the config of a search or of a branched network: model.decode_heads, '
            'or model.backbone.encoder, is missing'
        )
    if takes(MODELS, backbone, 'domains', cfg.get('default_scope', SCOPE)):
        raise InputError(
            f'{path} is the config of paths of domains (model.backbone.type {backbone["type"]}), '
            'which are no tree: expected the config of a search or of a branched network'
        )
    tasks = tuple(backbone.get('tasks') or model['decode_heads'])
    encoder_cfg = backbone.get('encoder') or _encoder_of_file(backbone, cfg)
    encoder = build_encoder(encoder_cfg)
    shared = BranchedArchitecture.shared(tasks, encoder.to_config(), encoder.num_layers)
    network: Any = MODELS.build(_model_config(cfg, encoder_cfg, shared))
    return TreeConfig(
        cfg, tasks, encoder, dict(encoder_cfg), network.measure_cost(), network.cost_shape
    )


def _encoder_of_file(backbone: dict[str, Any], cfg: Config) -> dict[str, Any]:
    path = launch.find_beside_config(backbone['architecture'], cfg.filename)
    return BranchedArchitecture.load(path).encoder


def _model_config(
    cfg: Config, encoder_cfg: dict[str, Any], tree: BranchedArchitecture
) -> dict[str, Any]:
    kept = {
        key: cfg.model[key]
        for key in ('decode_heads', 'cost_shape', 'data_preprocessor')
        if key in cfg.model
    }
    backbone = {
        'type': 'mmbmtas.BranchedNetwork',
        'architecture': tree.to_dict(),
        'encoder': encoder_cfg,
    }
    return {'type': 'mmbmtas.MultiTaskEncoderDecoder', 'backbone': backbone, **kept}


def add_tree_arguments(parser: ArgumentParser) -> None:
    """Add what every tool has that writes trees for a config."""
    parser.add_argument('config', help='config of a search or of a branched network')
    parser.add_argument(
        '-o',
        '--out',
        type=file_place,
        default='architecture.json',
        metavar='FILE.json',
        help='file to write; several trees become FILE_1.json, FILE_2.json, ...',
    )
    add_cfg_options(parser)


def config_of(args: Namespace) -> TreeConfig:
    """Read the config that a command line names."""
    return read_tree_config(args.config, args.cfg_options)


def tree_places(path: Path, count: int) -> list[Path]:
    """List the files of so many trees: one, or numbered ones beside it.

    Raises:
        OccupiedError: A folder is at one of the places.
    """
    if count == 1:
        return [file_place(path)]
    numbers = range(1, count + 1)
    return [file_place(path.with_name(f'{path.stem}_{n}{path.suffix}')) for n in numbers]


def write_trees(architectures: Sequence[BranchedArchitecture], path: Path) -> list[Path]:
    """Write one file, or numbered ones beside it, and print a line for each."""
    paths = tree_places(path, len(architectures))
    for architecture, file in zip(architectures, paths, strict=True):
        architecture.save(file)
        madds = (architecture.madds or {}).get('network')
        cost = '' if madds is None else f'{madds:,} MAdds: '
        print(f'Wrote {file}: {cost}{architecture.describe()}')
    return paths
