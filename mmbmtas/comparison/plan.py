"""From a comparison to command lines: which steps each of its rows needs."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.runner import find_latest_checkpoint

from mmbmtas.comparison.spec import Comparison, ModelSpec, format_option
from mmbmtas.launch.jobs import Step, StepFolders
from mmbmtas.structures import BranchedArchitecture


@dataclass(frozen=True, eq=False)
class Tree:
    """An architecture file that a step writes, that an earlier run has stored, or a given one.

    Attributes:
        name: Under which it is stored beside the results.
        path: Where it is.
        settings: What decides it.
        step: Writes it; None if it is there.
    """

    name: str
    path: Path
    settings: Mapping[str, Any]
    step: Step | None

    @property
    def needs(self) -> tuple[Step, ...]:
        """The steps without which the file is not there."""
        return (self.step,) if self.step else ()


@dataclass(frozen=True, eq=False)
class Network:
    """A network that is trained.

    Attributes:
        config: Its training's config.
        options: Overrides of it.
        tree: Its architecture; None where the config says all.
    """

    config: str
    options: Mapping[str, Any]
    tree: Tree | None


@dataclass(frozen=True, eq=False)
class Run:
    """A row of the results: a model with a seed.

    Attributes:
        name: Its name.
        model: The model.
        seed: Seed of the training.
        member: Which of several networks of this model and seed, from 1; 0 if there is only one.
        networks: Its networks: one, or those of the single tasks.
        trainings: A step for each network.
        tests: Likewise.
        settings: What decides the results.
    """

    name: str
    model: ModelSpec
    seed: int
    member: int
    networks: tuple[Network, ...]
    trainings: tuple[Step, ...]
    tests: tuple[Step, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the results, by step."""
        return {test.name.rpartition('/')[0]: dict(test.settings) for test in self.tests}


class Planner:
    """Lists the rows of a comparison, with the steps that each of them needs.

    Args:
        comparison: The comparison.
        tasks: Its tasks.
        tools: Folder of the command lines.
        folders: Where steps work.
        stored: Folder of the trees of finished rows.
        finished: Names of the finished rows.
    """

    def __init__(
        self,
        comparison: Comparison,
        tasks: Sequence[str],
        tools: Path,
        folders: StepFolders,
        stored: Path,
        finished: Collection[str] = (),
    ) -> None:
        self.comparison, self.tasks, self.tools = comparison, tuple(tasks), tools
        self.folders, self.stored, self.finished = folders, stored, finished
        self._steps: dict[str, Step] = {}

    def runs(self) -> list[Run]:
        """List all rows, in the order of the models."""
        return [
            self.run(model, seed, member)
            for model in self.comparison.models
            for seed in model.seeds
            for member in members(model)
        ]

    def run(self, model: ModelSpec, seed: int, member: int = 0) -> Run:
        """Plan one row."""
        name = run_name(model, seed, member)
        if model.kind == 'single':
            networks = tuple(
                Network(self.comparison.branched, model.options, self._single_tree(model, task))
                for task in self.tasks
            )
            folders = [f'{name}/{task}' for task in self.tasks]
        elif model.kind == 'exchange':
            networks = (Network(model['config'], model.options, None),)
            folders = [name]
        else:
            tree = self.tree(model, seed, member)
            networks = (Network(self.comparison.branched, model.options, tree),)
            folders = [name]
        trainings = tuple(
            self._training(f'{folder}/train', network, model, seed)
            for folder, network in zip(folders, networks, strict=True)
        )
        tests = tuple(
            self._test(f'{folder}/test', network, training)
            for folder, network, training in zip(folders, networks, trainings, strict=True)
        )
        return Run(name, model, seed, member, networks, trainings, tests)

    def tree(self, model: ModelSpec, seed: int, member: int = 0) -> Tree:
        """Return the tree of a model, seed and member."""
        name = run_name(model, seed, member)
        if model.kind in ('shared', 'all_apart'):
            words = ('--kind', model.kind)
            step = self._tree_step(f'{model.name}/tree', 'uniform', model, words)
            return self._stored(model.name, name, step, step.output)
        if model.kind == 'tree':
            tree = BranchedArchitecture.load(model['architecture'])
            content = {'encoder': tree.encoder, 'routing': dict(tree.routing)}
            return Tree(name, Path(model['architecture']), content, None)
        step = getattr(self, f'_{model.kind}_step')(model, seed)
        path = step.output.with_name(f'tree_{member}.json') if member else step.output
        return self._stored(name, name, step, path)

    def _single_tree(self, model: ModelSpec, task: str) -> Tree:
        """Return the tree of a single-task network."""
        name = f'{model.name}_{task}'
        step = self._tree_step(f'{name}/tree', 'uniform', model, ('--task', task))
        return self._stored(name, run_name(model, model.seeds[0], 0), step, step.output)

    def _stored(self, name: str, run: str, step: Step, path: Path) -> Tree:
        """Take the tree that a finished row has left, else the one that the step writes."""
        stored = self.stored / f'{name}.json'
        if run in self.finished and stored.is_file():
            return Tree(name, stored, step.settings, None)
        return Tree(name, path, step.settings, step)

    def _searched_step(self, model: ModelSpec, seed: int) -> Step:
        folder = f'{model.name}_seed{seed}/search'
        options = {**model['search_options'], 'randomness.seed': seed}

        def command() -> list[str | Path]:
            return self._train_words(model['search'], folder, options)

        settings = {'config': short(model['search']), 'options': options}
        return self._step(folder, 'search', settings, command, 'architecture.json')

    def _random_step(self, model: ModelSpec, seed: int) -> Step:
        words = ('--tolerance', model['tolerance'], '--number', model.number, '--seed', seed)
        return self._budgeted(model, seed, 'random_tree', '--budget', words)

    def _vanilla_step(self, model: ModelSpec, seed: int) -> Step:
        return self._budgeted(model, seed, 'vanilla', '--budget', ())

    def _permutations_step(self, model: ModelSpec, seed: int) -> Step:
        reference = self.tree(self.comparison.model(model['reference']), seed, 0)
        words = ('--number', model.number, '--seed', seed)
        folder = f'{model.name}_seed{seed}/tree'
        output = 'tree.json' if model.number == 1 else f'tree_{model.number}.json'

        def command() -> list[str | Path]:
            out = self.folders[folder] / 'tree.json'
            return [self._grouping('permute'), reference.path, '-o', out, *_texts(words)]

        settings = {'words': [*words], 'needs': {'reference': digest(reference.settings)}}
        return self._step(folder, 'tree', settings, command, output, reference.needs)

    def _fafs_step(self, model: ModelSpec, seed: int) -> Step:
        shared = self.run(self.comparison.model(model['shared']), seed)
        (training,) = shared.trainings
        words = ('--alpha', model['alpha'], '--images', model['images'], '--seed', seed)
        return self._tree_step(
            f'{model.name}_seed{seed}/tree',
            'fafs',
            model,
            words,
            {'shared': training},
            lambda: [self._checkpoint(training)],
            kind='measure',
        )

    def _bmn_step(self, model: ModelSpec, seed: int) -> Step:
        single = self.run(self.comparison.model(model['single']), seed)
        trainings = dict(zip(self.tasks, single.trainings, strict=True))
        words = ('--images', model['images'], '--seed', seed)

        def checkpoints() -> list[str]:
            found = [f'{task}={self._checkpoint(step)}' for task, step in trainings.items()]
            return ['--checkpoints', *found]

        return self._budgeted(model, seed, 'bmn', '--cap', words, trainings, checkpoints, 'measure')

    def _budgeted(
        self,
        model: ModelSpec,
        seed: int,
        tool: str,
        flag: str,
        words: Sequence[Any],
        needs: Mapping[str, Step] | None = None,
        more: Callable[[], Sequence[str | Path]] = tuple,
        kind: str = 'tree',
    ) -> Step:
        """Plan a tool that takes a budget, a number or what another tree costs."""
        name = f'{model.name}_seed{seed}/tree'
        if model['budget'] is not None:
            budget = (flag, f'{model["budget"]:g}', *words)
            return self._tree_step(name, tool, model, budget, needs, more, kind)
        tree = self.tree(self.comparison.model(model['reference']), seed, 0)
        return self._tree_step(
            name,
            tool,
            model,
            words,
            needs,
            lambda: ['--reference', tree.path, *more()],
            kind,
            {'reference': tree},
        )

    def _tree_step(
        self,
        name: str,
        tool: str,
        model: ModelSpec,
        words: Sequence[Any],
        needs: Mapping[str, Step] | None = None,
        more: Callable[[], Sequence[str | Path]] = tuple,
        kind: str = 'tree',
        trees: Mapping[str, Tree] | None = None,
    ) -> Step:
        """Plan a command line of ``tools/grouping`` that writes ``tree.json``, or several.

        Args:
            name: The step's name.
            tool: Name of the tool.
            model: The model whose trees it writes.
            words: Words of the command line that decide the result.
            needs: Steps that it needs, by the name that they have for it.
            more: Gives the words that depend on what these have left.
            kind: Kind of the step.
            trees: Trees that it needs.
        """
        needs, trees = dict(needs or {}), dict(trees or {})

        def command() -> list[str | Path]:
            # Checkpoints that stand alone come first, as no option may take them for its own.
            alone = list(more())
            out = self.folders[name] / 'tree.json'
            config = [self.comparison.branched]
            options = self._option_words({**model.options, **self._data()})
            return [self._grouping(tool), *config, *alone, *_texts(words), '-o', out, *options]

        settings = {
            'config': short(self.comparison.branched),
            'tool': tool,
            'words': [*words],
            'options': dict(model.options),
            'needs': {
                **{key: digest(step.settings) for key, step in needs.items()},
                **{key: digest(tree.settings) for key, tree in trees.items()},
            },
        }
        before = (*needs.values(), *(step for tree in trees.values() for step in tree.needs))
        output = 'tree.json' if model.number == 1 else f'tree_{model.number}.json'
        return self._step(name, kind, settings, command, output, before)

    def _training(self, name: str, network: Network, model: ModelSpec, seed: int) -> Step:
        """Plan the training of a network."""
        options = {**network.options, 'randomness.seed': seed}
        needs: dict[str, Step] = {}
        if model.settings.get('single') and model.kind == 'exchange':
            single = self.run(self.comparison.model(model['single']), seed)
            needs = dict(zip(self.tasks, single.trainings, strict=True))

        def command() -> list[str | Path]:
            found = {**options, **_tree_option(network)}
            for task, step in needs.items():
                found[f'single_checkpoints.{task}'] = str(self._checkpoint(step))
            return self._train_words(network.config, name, found)

        settings: dict[str, Any] = {'config': short(network.config), 'options': options}
        before: tuple[Step, ...] = tuple(needs.values())
        inputs = {task: digest(step.settings) for task, step in needs.items()}
        if network.tree is not None:
            before = network.tree.needs
            inputs = {'tree': digest(network.tree.settings)}
        # Single-task networks take less time than trees, exchanging encoders more.
        kind = f'train {model.kind}' if model.kind in ('single', 'exchange') else 'train'
        return self._step(
            name, kind, {**settings, 'needs': inputs}, command, 'last_checkpoint', before
        )

    def _test(self, name: str, network: Network, training: Step) -> Step:
        """Plan the test of a trained network."""
        folder = self.folders[name]

        def command() -> list[str | Path]:
            words: list[str | Path] = [
                self.tools / 'test.py',
                network.config,
                self._checkpoint(training),
            ]
            words += ['--work-dir', folder, '--out', folder / 'results.json']
            options = {**network.options, **_tree_option(network), **self._data()}
            return [*words, *self._option_words(options)]

        settings = {'training': dict(training.settings)}
        # The tree's file too: the folder of a training may be there without it.
        trees = network.tree.needs if network.tree else ()
        return self._step(name, 'test', settings, command, 'results.json', (training, *trees))

    def _step(
        self,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        command: Callable[[], Sequence[str | Path]],
        output: str,
        needs: Sequence[Step] = (),
    ) -> Step:
        """Return the step of a name, which several rows may need."""
        if name not in self._steps:
            path = self.folders[name] / output
            self._steps[name] = Step(name, kind, settings, command, path, tuple(needs))
        return self._steps[name]

    def _train_words(
        self, config: str, folder: str, options: Mapping[str, Any]
    ) -> list[str | Path]:
        words: list[str | Path] = [self.tools / 'train.py', config, '--resume']
        words += ['--work-dir', self.folders[folder]]
        return [*words, *self._option_words({**options, **self._data()})]

    def _grouping(self, tool: str) -> Path:
        return self.tools / 'grouping' / f'{tool}.py'

    def _data(self) -> dict[str, str]:
        root = self.comparison.data_root
        return {} if root is None else {'data_root': root}

    def _option_words(self, options: Mapping[str, Any]) -> list[str]:
        words = [f'{key}={format_option(value)}' for key, value in options.items()]
        return ['--cfg-options', *words] if words else []

    def _checkpoint(self, training: Step) -> Path:
        """The last checkpoint of a training that is done; the folder may have been moved."""
        folder = self.folders[training.name]
        return folder / Path(find_latest_checkpoint(str(folder)) or 'no_checkpoint.pth').name


def members(model: ModelSpec) -> range:
    """Numbers of a model's networks for one seed: 0 alone, or 1 to how many there are."""
    return range(1) if model.number == 1 else range(1, model.number + 1)


def run_name(model: ModelSpec, seed: int, member: int) -> str:
    """Name of a row, and of its folder."""
    return f'{model.name}_seed{seed}' + (f'_{member}' if member else '')


def short(config: str) -> str:
    """A config's name and folder, wherever it was found."""
    return '/'.join(Path(config).parts[-2:])


def digest(settings: Mapping[str, Any]) -> str:
    """A short name for settings: equal if and, but for chance, only if they are."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _tree_option(network: Network) -> dict[str, str]:
    return {'architecture': str(network.tree.path)} if network.tree else {}


def _texts(words: Sequence[Any]) -> list[str]:
    return [str(word) for word in words]
