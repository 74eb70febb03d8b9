"""Show the whole method on a small data set: search for a tree, retrain, test and summarise it.

Renders synthetic scenes in the layout of PASCAL-Context, searches a branched network for five tasks
(configs/similarity_scenes.py), retrains the tree (configs/branched_scenes.py) and tests it on
held-out images. Also trains and tests a random tree of the same cost in the same way. Writes
architecture.json, tree.png, predictions/, overview.png, summary.md and summary.json to the folder
--out. Each step prints its command line. Each step has a folder of its own below work/, with its
log.
"""

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

from mmengine.config import Config

from mmbmtas import launch
from mmbmtas.comparison.progress import Progress
from mmbmtas.comparison.summary import format_summary, score_constants, summarise
from mmbmtas.datasets.pascal_context import VOC_CLASSES
from mmbmtas.errors import InputError, OccupiedError
from mmbmtas.launch.interruption import run_resumable
from mmbmtas.launch.jobs import Scheduler, State, Step, StepFolders, lock_folder, with_needs
from mmbmtas.structures import BranchedArchitecture
from mmbmtas.visualization.architecture import plot_architecture
from mmbmtas.visualization.overview import stack_pictures
from mmbmtas.writing import (
    file_place,
    folder_place,
    folder_written_beside,
    write_json,
    written_beside,
)

ROOT = Path(__file__).resolve().parents[1]
if Path.cwd() == ROOT:
    ROOT = Path()  # for shorter command lines
SEARCH = ROOT / 'configs/similarity_scenes.py'
BRANCHED = ROOT / 'configs/branched_scenes.py'

_BUDGET = 'model.resource_loss.target_madds=80e6'

FULL: dict[str, Any] = {
    'train': 400,
    'val': 100,
    'sheets': 6,
    'search': ['weight_iters=100', _BUDGET],
    'retrain': ['max_iters=340'],
}
"""Numbers of images and of sheets drawn; overrides of the two configs."""

SHORT: dict[str, Any] = {
    'train': 100,
    'val': 24,
    'sheets': 3,
    'search': ['weight_iters=20', _BUDGET],
    'retrain': ['max_iters=40'],
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='After an interruption, the same command continues. OMP_NUM_THREADS sets the number '
        'of threads, 1 by default.',
    )
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder of the results')
    parser.add_argument(
        '--short',
        action='store_true',
        help='use few images and steps: all outputs, but poor predictions',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of the images, the search, the random tree and the trainings',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=min(2, os.cpu_count() or 1),
        help='processes at once (default: 2 where there are two cores)',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='start again, and replace the results of an earlier demo',
    )
    return parser.parse_args()


def main() -> int:
    """Run the steps that are not done yet, and sum them up."""
    args = parse_args()
    if args.jobs < 1:
        raise InputError(f'--jobs {args.jobs}: expected at least 1')
    demo = Demo(args.out, {'seed': args.seed, **(SHORT if args.short else FULL)})
    demo.check_places()
    lock = lock_folder(demo.folders.root)
    demo.check_settings(args.overwrite)
    scheduler = Scheduler(demo.steps, demo.folders, args.jobs, lock=lock)
    with _Commands() as progress:
        scheduler.run(progress)
    if set(scheduler.states.values()) != {State.DONE}:
        return 1
    demo.finish()
    print((args.out / 'summary.md').read_text())
    print(f'See {args.out}: overview.png, architecture.json, tree.png, predictions/, summary.md')
    return 0


class _Commands(Progress):
    """Prints each step's command line as well."""

    def changed(self, scheduler: Scheduler, step: Step) -> None:
        super().changed(scheduler, step)
        if scheduler.states[step.name] is State.RUNNING:
            words = shlex.join(str(word) for word in step.command())
            self.console.print(f'$ python {words}', soft_wrap=True, highlight=False, markup=False)


class Demo:
    """The steps, and the outputs that are made of what they leave.

    Args:
        out: Folder of the outputs.
        settings: Seed, numbers of images, overrides; they decide all steps.

    Attributes:
        OUTPUTS: Files in the folder ``out``, beside the folders ``predictions`` and ``work``.
    """

    OUTPUTS = ('architecture.json', 'tree.png', 'overview.png', 'summary.md', 'summary.json')

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out, self.settings = out, settings
        self.folders = StepFolders(out / 'work')
        self.render = self._render()
        self.search = self._train('search', SEARCH, settings['search'], 'architecture.json')
        self.draw = self._draw()
        trees = {'searched': self.search, 'random': self.draw}
        ends = [step for name, tree in trees.items() for step in self._train_and_test(name, tree)]
        self.steps = with_needs(ends)

    def _step(
        self,
        name: str,
        words: Sequence[object],
        output: str,
        *needs: Step,
        checkpoint: Step | None = None,
    ) -> Step:
        """Return a step; the checkpoint that a training leaves comes third on its command line."""

        def command() -> list[str]:
            found = [checkpoint.output.read_text().strip()] if checkpoint else []
            return [str(word) for word in (*words[:2], *found, *words[2:])]

        needs = (*needs, checkpoint) if checkpoint else needs
        kind = name.partition('/')[2] or name
        return Step(name, kind, self.settings, command, self.folders[name] / output, needs)

    def _render(self) -> Step:
        """Write the data set."""
        tool = ROOT / 'tools/dataset_converters/synthetic_scenes.py'
        size = [f'--{split}={self.settings[split]}' for split in ('train', 'val')]
        options = ['--layout=pascal', *size, f'--seed={self.settings["seed"]}', '--jobs=2']
        words = [tool, self.folders['render'] / 'scenes', *options, '--overwrite']
        return self._step('render', words, 'scenes')

    def _train(
        self, name: str, config: Path, options: Sequence[str], output: str, *needs: Step
    ) -> Step:
        """Search or retrain."""
        chosen = [f'data_root={self.render.output}', f'randomness.seed={self.settings["seed"]}']
        words = [ROOT / 'tools/train.py', config, '--work-dir', self.folders[name], '--resume']
        words = [*words, '--cfg-options', *chosen, *options]
        return self._step(name, words, output, self.render, *needs)

    def _draw(self) -> Step:
        """Draw a random tree of the cost of the searched one."""
        tool, seed = ROOT / 'tools/grouping/random_tree.py', f'--seed={self.settings["seed"]}'
        output = self.folders['random'] / 'tree.json'
        words = [tool, BRANCHED, '--reference', self.search.output, seed, '-o', output]
        return self._step('random', words, output.name, self.search)

    def _train_and_test(self, tree_name: str, tree: Step) -> list[Step]:
        """Train a tree from random weights, score it on held-out images, and measure its cost."""
        chosen, data = f'architecture={tree.output}', f'data_root={self.render.output}'
        options = [chosen, *self.settings['retrain']]
        train = self._train(f'{tree_name}_tree/train', BRANCHED, options, 'last_checkpoint', tree)
        name = f'{tree_name}_tree/test'
        folder = self.folders[name]
        drawn = []
        if tree is self.search:
            interval = max(1, self.settings['val'] // 25)
            drawing = {'draw': True, 'show_dir': folder / 'predictions', 'interval': interval}
            drawn = [f'default_hooks.visualization.{k}={v}' for k, v in drawing.items()]
        words = [ROOT / 'tools/test.py', BRANCHED, '--out', folder / 'results.json']
        words = [*words, '--work-dir', folder, '--cfg-options', chosen, data, *drawn]
        test = self._step(name, words, 'results.json', checkpoint=train)
        name = f'{tree_name}_tree/cost'
        out = self.folders[name] / 'costs.json'
        words = [ROOT / 'tools/analysis_tools/get_madds.py', BRANCHED, '-o', out]
        return [test, self._step(name, [*words, '--cfg-options', chosen], out.name, tree)]

    def check_places(self) -> None:
        """Refuse a folder with files of the outputs' names that no earlier demo has written.

        Raises:
            OccupiedError: There is one.
        """
        is_ours = self.folders.is_begun(self.render)
        for name in self.OUTPUTS:
            place = file_place(self.out / name)
            if place.exists() and not is_ours:
                raise OccupiedError(
                    f'{place} was not written by a demo, which leaves a record in '
                    f'{self.folders[self.render.name]}: choose another --out, or move it away'
                )
        folder_place(self.out / 'predictions')
        for step in self.steps:
            self.folders.check(step)

    def check_settings(self, overwrite: bool) -> None:
        """See that what is there was made with the same settings, or remove it.

        Raises:
            InputError: It was made with others, and is not to be overwritten.
        """
        for step in self.steps:
            if overwrite:
                self.folders.forget(step)
            elif changes := self.folders.changes(step):
                raise InputError(
                    f'{self.folders[step.name]} was made with other settings ({changes[0]}): '
                    'choose another folder, or replace it with --overwrite'
                )

    def finish(self) -> None:
        """Write the outputs."""
        with written_beside(self.out / 'architecture.json') as path:
            copyfile(self.search.output, path)
        tree = BranchedArchitecture.load(self.search.output)
        plot_architecture(tree, self.out / 'tree.png')
        with folder_written_beside(self.out / 'predictions') as folder:
            for sheet in self._choose_sheets():
                copyfile(sheet, folder / sheet.name)
        sheets = sorted((self.out / 'predictions').glob('*.png'))
        stack_pictures([self.out / 'tree.png', *sheets[:2]], self.out / 'overview.png')
        self._summarise()

    def _choose_sheets(self) -> list[Path]:
        """Choose some of the sheets, those of people first: other images have no human parts."""
        objects = json.loads((self.render.output / 'ImageSets/Parts/val.txt').read_text())
        person = VOC_CLASSES.index('person')
        of_people = tuple(name for name, classes in objects.items() if person in classes)
        drawn = (self.folders['searched_tree/test'] / 'predictions').glob('*.png')
        sheets = sorted(drawn, key=lambda p: (not p.stem.endswith(of_people), p))
        return sheets[: self.settings['sheets']]

    def _summarise(self) -> None:
        """Compare with the constant prediction and with the other networks' costs."""
        cfg = launch.load_config(self._arguments())
        headlines, constants = score_constants(cfg)
        results, random_results, costs, random_costs = (
            json.loads((self.folders[f'{tree}_tree/{step}'] / f'{name}.json').read_text())
            for step, name in (('test', 'results'), ('cost', 'costs'))
            for tree in ('searched', 'random')
        )
        summary = summarise(headlines, results, random_results, constants, costs, random_costs)
        with written_beside(self.out / 'summary.md') as path:
            path.write_text(self._introduction() + format_summary(summary, headlines))
        write_json(summary, self.out / 'summary.json')

    def _arguments(self) -> argparse.Namespace:
        """Return what the tools' command line gives, to read the config as they do."""
        parser = argparse.ArgumentParser()
        launch.add_common_arguments(parser)
        data = f'data_root={self.render.output}'
        return parser.parse_args([str(BRANCHED), '--cfg-options', data])

    def _introduction(self) -> str:
        seconds = {step.name: self.folders.seconds(step) for step in self.steps}
        minutes = sum(seconds.values()) / 60
        height, width = Config.fromfile(BRANCHED).cost_shape
        return (
            f'# Demo on synthetic scenes, seed {self.settings["seed"]}\n\n'
            f'A branched network for five tasks: searched and trained on {self.settings["train"]} '
            'images from random weights, beside a random tree of the same cost that was trained '
            f'alike; scored on {self.settings["val"]} held-out images. The steps took '
            f'{minutes:.1f} minutes in all ('
            + ', '.join(f'{name} {value:.0f} s' for name, value in seconds.items())
            + '). The constant predicts the same everywhere, as the training labels suggest. Costs '
            f'are for one image of {height} x {width}; only the two trees were trained.\n\n'
        )


if __name__ == '__main__':
    run_resumable(main, 'demo')
