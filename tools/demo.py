"""Show the whole method on a small data set: search a tree, retrain it, test it, sum it up.

Renders synthetic scenes in the layout of PASCAL-Context, searches a branched network for five tasks
(configs/similarity_scenes.py), retrains the tree (configs/branched_scenes.py) and tests it on
held-out images. A random tree of the same cost is trained and tested alike. Leaves
architecture.json, tree.png, predictions/, overview.png, summary.md and summary.json in the folder
--out, and everything else in its folder work/. Each step prints its command line.
"""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from mmbmtas import launch
from mmbmtas.comparison.summary import format_summary, score_constants, summarise
from mmbmtas.datasets.pascal_context import VOC_CLASSES
from mmbmtas.errors import OccupiedError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.stages import Stages, write_json
from mmbmtas.visualization.overview import stack_pictures
from mmbmtas.writing import file_place, folder_place, folder_written_beside, written_beside

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
        epilog='Interrupted, the same command continues. OMP_NUM_THREADS sets the number of '
        'threads, 1 by default.',
    )
    parser.add_argument('--out', type=Path, default=Path('out/demo'), help='folder of the results')
    parser.add_argument(
        '--short', action='store_true', help='few images and steps: all outputs, poor predictions'
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='of the images, the search, the random tree and the trainings',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='start again, and replace what an earlier demo has left',
    )
    return parser.parse_args()


def main() -> None:
    """Run the stages that are not done yet."""
    args = parse_args()
    # A polite kill ends the running stage as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = {'seed': args.seed, **(SHORT if args.short else FULL)}
    check_places(args.out)
    stages = Stages(args.out / 'work', settings, args.overwrite, Demo.CONTENTS)
    demo = Demo(args.out, stages, settings)
    for name in demo.STAGES:
        stages.run(name, getattr(demo, name))
    print((args.out / 'summary.md').read_text())
    print(f'See {args.out}: overview.png, architecture.json, tree.png, predictions/, summary.md')


def check_places(out: Path) -> None:
    """Refuse a folder with files of these names that no earlier demo has written.

    Raises:
        OccupiedError: There is one.
    """
    is_ours = (out / 'work/stages.json').is_file()
    for name in Demo.OUTPUTS:
        place = file_place(out / name)
        if place.exists() and not is_ours:
            raise OccupiedError(
                f'{place} was not written by a demo, which leaves no {out / "work/stages.json"}: '
                'choose another --out, or move it away'
            )
    folder_place(out / 'predictions')


class Demo:
    """The stages. Each continues what it finds, and gives its outputs their names at its end.

    Attributes:
        STAGES: Their names, in order.
        OUTPUTS: Files in the folder ``--out``, beside the folders ``predictions`` and ``work``.
        CONTENTS: What the stages make in the folder ``work``.
    """

    STAGES = ('render', 'search', 'retrain', 'test', 'retrain_random', 'test_random', 'summarise')
    OUTPUTS = ('architecture.json', 'tree.png', 'overview.png', 'summary.md', 'summary.json')
    CONTENTS = (
        *('scenes', 'search', 'retrain', 'test', 'results.json', 'costs.json'),
        *(
            'random.json',
            'retrain_random',
            'test_random',
            'random_results.json',
            'random_costs.json',
        ),
    )

    def __init__(self, out: Path, stages: Stages, settings: dict[str, Any]) -> None:
        self.out, self.work, self.stages, self.settings = out, stages.folder, stages, settings
        self.data = self.work / 'scenes'
        self.architecture = out / 'architecture.json'
        self.random = self.work / 'random.json'

    def render(self) -> None:
        """Write the data set."""
        size = [f'--{split}={self.settings[split]}' for split in ('train', 'val')]
        options = ['--layout=pascal', *size, f'--seed={self.settings["seed"]}', '--jobs=2']
        converter = ROOT / 'tools/dataset_converters/synthetic_scenes.py'
        self.stages.call([converter, self.data, *options, '--overwrite'])

    def search(self) -> None:
        """Search the tree, and draw it."""
        work_dir = self.work / 'search'
        self._train(SEARCH, work_dir, self.settings['search'])
        found = (work_dir / 'architecture.json').read_text()
        with written_beside(self.architecture) as path:
            path.write_text(found)
        plot = ROOT / 'tools/analysis_tools/plot_architecture.py'
        self.stages.call([plot, self.architecture, '-o', self.out / 'tree.png'])

    def retrain(self) -> None:
        """Train the tree from random weights."""
        self._retrain(self.architecture, self.work / 'retrain')

    def retrain_random(self) -> None:
        """Draw a tree of the same cost and train it alike."""
        draw = ROOT / 'tools/grouping/random_tree.py'
        seed = f'--seed={self.settings["seed"]}'
        self.stages.call(
            [draw, BRANCHED, '--reference', self.architecture, seed, '-o', self.random]
        )
        self._retrain(self.random, self.work / 'retrain_random')

    def _retrain(self, tree: Path, work_dir: Path) -> None:
        self._train(BRANCHED, work_dir, [f'architecture={tree}', *self.settings['retrain']])

    def _train(self, config: Path, work_dir: Path, options: list[str]) -> None:
        options = [f'data_root={self.data}', f'randomness.seed={self.settings["seed"]}', *options]
        train = ROOT / 'tools/train.py'
        self.stages.call(
            [train, config, '--work-dir', work_dir, '--resume', '--cfg-options', *options]
        )

    def test(self) -> None:
        """Score the tree on the held-out images, draw some of them, and measure its cost."""
        interval = max(1, self.settings['val'] // 25)
        with folder_written_beside(self.out / 'predictions') as folder:
            drawing = {'draw': True, 'show_dir': folder, 'interval': interval}
            options = [f'default_hooks.visualization.{k}={v}' for k, v in drawing.items()]
            self._test(self.architecture, '', options)
            self._choose_sheets(folder)
        sheets = sorted((self.out / 'predictions').glob('*.png'))
        stack_pictures([self.out / 'tree.png', *sheets[:2]], self.out / 'overview.png')

    def test_random(self) -> None:
        """Score the random tree, and measure its cost."""
        self._test(self.random, 'random', [])

    def _test(self, tree: Path, name: str, options: list[str]) -> None:
        """Write the results and the costs of a tree to the folder ``work``."""
        suffix = f'_{name}' if name else ''
        prefix = f'{name}_' if name else ''
        chosen, data = f'architecture={tree}', f'data_root={self.data}'
        checkpoint = find_latest_checkpoint(str(self.work / f'retrain{suffix}'))
        command: list[str | Path] = [ROOT / 'tools/test.py', BRANCHED, str(checkpoint)]
        command += ['--out', self.work / f'{prefix}results.json']
        command += ['--work-dir', self.work / f'test{suffix}']
        self.stages.call([*command, '--cfg-options', chosen, data, *options])
        path = self.work / f'{prefix}costs.json'
        with written_beside(path) as beside, beside.open('w') as file:
            get_madds = ROOT / 'tools/analysis_tools/get_madds.py'
            self.stages.call([get_madds, BRANCHED, '--json', '--cfg-options', chosen], file)

    def _choose_sheets(self, folder: Path) -> None:
        """Keep some of the sheets, those of people first: other images have no human parts."""
        objects = json.loads((self.data / 'ImageSets/Parts/val.txt').read_text())
        person = VOC_CLASSES.index('person')
        of_people = tuple(name for name, classes in objects.items() if person in classes)
        sheets = sorted(folder.glob('*.png'), key=lambda p: (not p.stem.endswith(of_people), p))
        for sheet in sheets[self.settings['sheets'] :]:
            sheet.unlink()

    def summarise(self) -> None:
        """Compare with the constant prediction and with the other networks' costs."""
        cfg = launch.load_config(self._arguments())
        headlines, constants = score_constants(cfg)
        results, random_results, costs, random_costs = (
            json.loads((self.work / f'{name}.json').read_text())
            for name in ('results', 'random_results', 'costs', 'random_costs')
        )
        summary = summarise(headlines, results, random_results, constants, costs, random_costs)
        with written_beside(self.out / 'summary.md') as path:
            path.write_text(self._introduction() + format_summary(summary, headlines))
        write_json(summary, self.out / 'summary.json')

    def _arguments(self) -> argparse.Namespace:
        """What the tools' command line would say, to read the config as they do."""
        parser = argparse.ArgumentParser()
        launch.add_common_arguments(parser)
        return parser.parse_args([str(BRANCHED), '--cfg-options', f'data_root={self.data}'])

    def _introduction(self) -> str:
        seconds = self.stages.seconds
        minutes = sum(seconds.values()) / 60
        height, width = Config.fromfile(BRANCHED).cost_shape
        return (
            f'# Demo on synthetic scenes, seed {self.settings["seed"]}\n\n'
            f'A branched network for five tasks: searched and trained on {self.settings["train"]} '
            'images from random weights, beside a random tree of the same cost that was trained '
            f'alike; scored on {self.settings["val"]} held-out images, in '
            f'{minutes:.1f} minutes ('
            + ', '.join(f'{name} {value:.0f} s' for name, value in seconds.items())
            + '). The constant predicts the same everywhere, as the training labels suggest. Costs '
            f'are for one image of {height} x {width}; only the two trees were trained.\n\n'
        )


if __name__ == '__main__':
    with one_line_errors():
        try:
            main()
        except subprocess.CalledProcessError as error:
            sys.exit(f'demo: a step failed with status {error.returncode}; its message is above')
        except KeyboardInterrupt:
            sys.exit('demo: interrupted; the same command continues')
