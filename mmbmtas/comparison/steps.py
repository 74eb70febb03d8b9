"""The steps of a comparison: command lines that train, test, search and choose trees."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.runner import find_latest_checkpoint

from mmbmtas.comparison.models import Comparison, ModelSpec
from mmbmtas.comparison.options import option_words
from mmbmtas.comparison.rows import Network, Tree, digest, short
from mmbmtas.launch.jobs import Step, StepFolders

Words = Sequence[str | Path]


class Steps:
    """Makes the steps of a comparison, each only once even if many rows need it.

    Args:
        comparison: The comparison.
        tools: Folder of the command lines.
        folders: Where steps work.
    """

    def __init__(self, comparison: Comparison, tools: Path, folders: StepFolders) -> None:
        self.comparison, self.tools, self.folders = comparison, tools, folders
        self._made: dict[str, Step] = {}

    def step(
        self,
        name: str,
        kind: str,
        settings: Mapping[str, Any],
        command: Callable[[], Words],
        output: str,
        needs: Sequence[Step] = (),
    ) -> Step:
        """Return the step of a name; ``output`` is a file in its folder. Else as :class:`Step`."""
        if name not in self._made:
            path = self.folders[name] / output
            self._made[name] = Step(name, kind, settings, command, path, tuple(needs))
        return self._made[name]

    def search(self, name: str, config: str, options: Mapping[str, Any]) -> Step:
        """Plan a search, which leaves ``architecture.json``."""
        settings = {'config': short(config), 'options': options}
        return self.step(
            name,
            'search',
            settings,
            lambda: self._train_words(config, name, options),
            'architecture.json',
        )

    def tree(
        self,
        name: str,
        tool: str,
        model: ModelSpec,
        words: Sequence[Any],
        needs: Mapping[str, Step] | None = None,
        more: Callable[[], Words] = tuple,
        kind: str = 'tree',
        trees: Mapping[str, Tree] | None = None,
        inputs: Mapping[str, Any] | None = None,
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
            inputs: What else decides the result, such as the content of a file.
        """
        needs, trees = dict(needs or {}), dict(trees or {})
        config = self.comparison.branched

        def command() -> Words:
            # Checkpoints that stand alone come first, as no option may take them for its own.
            alone = list(more())
            out = self.folders[name] / 'tree.json'
            options = option_words({**model.options, **self._data()})
            return [self.grouping(tool), config, *alone, *texts(words), '-o', out, *options]

        settings = {
            'config': short(config),
            'tool': tool,
            'words': [*words],
            'options': dict(model.options),
            'needs': {
                **{key: digest(step.settings) for key, step in needs.items()},
                **{key: digest(tree.settings) for key, tree in trees.items()},
                **(inputs or {}),
            },
        }
        before = (*needs.values(), *(step for tree in trees.values() for step in tree.needs))
        return self.step(name, kind, settings, command, self.tree_output(model), before)

    @staticmethod
    def tree_output(model: ModelSpec) -> str:
        """Name of the last file of a tool in ``tools/grouping`` for a model."""
        return 'tree.json' if model.number == 1 else f'tree_{model.number}.json'

    def training(
        self, name: str, network: Network, seed: int, kind: str, starts: Mapping[str, Step]
    ) -> Step:
        """Plan the training of a network.

        Args:
            name: The step's name.
            network: The network.
            seed: The seed.
            kind: Kind of the step.
            starts: By task, the single-task trainings from whose weights it starts.
        """
        options = {**network.options, 'randomness.seed': seed}

        def command() -> Words:
            found = {**options, **tree_option(network)}
            for task, step in starts.items():
                found[f'single_checkpoints.{task}'] = str(self.checkpoint(step))
            return self._train_words(network.config, name, found)

        inputs = {task: digest(step.settings) for task, step in starts.items()}
        inputs |= network.inputs
        before = [*starts.values()]
        if network.tree is not None:
            inputs['tree'] = digest(network.tree.settings)
            before += network.tree.needs
        settings = {'config': short(network.config), 'options': options, 'needs': inputs}
        return self.step(name, kind, settings, command, 'last_checkpoint', before)

    def test(self, name: str, network: Network, training: Step) -> Step:
        """Plan the test of a trained network."""
        folder = self.folders[name]

        def command() -> Words:
            words: list[str | Path] = [
                self.tools / 'test.py',
                network.config,
                self.checkpoint(training),
            ]
            words += ['--work-dir', folder, '--out', folder / 'results.json']
            options = {**network.options, **tree_option(network), **self._data()}
            return [*words, *option_words(options)]

        settings = {'training': dict(training.settings)}
        # The tree's file too: the folder of a training may be there without it.
        trees = network.tree.needs if network.tree else ()
        return self.step(name, 'test', settings, command, 'results.json', (training, *trees))

    def grouping(self, tool: str) -> Path:
        """A command line of ``tools/grouping``."""
        return self.tools / 'grouping' / f'{tool}.py'

    def checkpoint(self, training: Step) -> Path:
        """The last checkpoint of a training that is done; the folder may have been moved."""
        folder = self.folders[training.name]
        return folder / Path(find_latest_checkpoint(str(folder)) or 'no_checkpoint.pth').name

    def _train_words(self, config: str, folder: str, options: Mapping[str, Any]) -> Words:
        words: list[str | Path] = [self.tools / 'train.py', config, '--resume']
        words += ['--work-dir', self.folders[folder]]
        return [*words, *option_words({**options, **self._data()})]

    def _data(self) -> dict[str, str]:
        root = self.comparison.data_root
        return {} if root is None else {'data_root': root}


def tree_option(network: Network) -> dict[str, str]:
    """The override that gives a network its tree."""
    return {'architecture': str(network.tree.path)} if network.tree else {}


def texts(words: Sequence[Any]) -> list[str]:
    """Write words of a command line as text."""
    return [str(word) for word in words]
