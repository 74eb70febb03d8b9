"""Whether a path's accuracy in the supernet foretells its accuracy after training (ours).

A search of paths believes what the supernet says of a path. Random sets of paths, and the searched
one, are judged there and then trained; the rank correlation of both says how far the belief holds.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import find_latest_checkpoint

from mmbmtas import launch
from mmbmtas.comparison.options import option_words
from mmbmtas.comparison.rows import digest
from mmbmtas.engine.runner import PathSearchLoop
from mmbmtas.engine.runner.train_loader import batches
from mmbmtas.errors import InputError
from mmbmtas.evaluation.ranks import describe_correlation
from mmbmtas.launch.architectures import architecture_of_checkpoint
from mmbmtas.launch.jobs import Step, StepFolders
from mmbmtas.launch.path_config import read_path_config
from mmbmtas.structures import PathArchitecture
from mmbmtas.visualization.cells import plot_fidelity
from mmbmtas.visualization.document import (
    Block,
    Code,
    Grid,
    Heading,
    Paragraph,
    Picture,
    to_html,
    to_markdown,
)
from mmbmtas.writing import written_beside

SEARCHED = 'searched'
"""Name of the paths that the search has found."""


@dataclass(frozen=True)
class Judged:
    """Paths of all domains, and what is known of them.

    Attributes:
        name: ``searched``, or ``random_1``, ``random_2``, ...
        params: Parameters of their network.
        supernet: Their mean quality in the supernet, 0 to 1.
        full: Their score after training; None if that failed.
    """

    name: str
    params: int
    supernet: float
    full: float | None


def draw_sets(
    config: str, options: Mapping[str, Any], checkpoint: str, number: int, seed: int
) -> dict[str, PathArchitecture]:
    """Return the paths of a search's checkpoint and some random ones, by name.

    Args:
        config: The search's config.
        options: Overrides of it.
        checkpoint: Of the search.
        number: How many to draw.
        seed: Of the draws.

    Raises:
        InputError: The checkpoint is of something else, or of other domains.
    """
    space = read_path_config(config, dict(options))
    found = PathArchitecture.of(architecture_of_checkpoint(checkpoint))
    if {*found.domains} != {*space.domains}:
        raise InputError(
            f'{checkpoint} is of a search in the domains {[*found.domains]}, {config} of one in '
            f'{[*space.domains]}: state them by --cfg-options tasks=[...]'
        )
    drawn = {f'random_{index + 1}': space.random(seed + index) for index in range(number)}
    return {SEARCHED: found, **drawn}


def judge(
    config: str,
    options: Mapping[str, Any],
    checkpoint: str,
    sets: Mapping[str, PathArchitecture],
    count: int,
    folder: Path,
) -> dict[str, tuple[int, float]]:
    """Return of each set the parameters, and the mean quality over domains in the supernet.

    All sets see the same batches of the search's architecture split, by batch statistics, as the
    search has seen them.

    Args:
        config: The search's config.
        options: Overrides of it.
        checkpoint: Of the search.
        sets: The sets of paths.
        count: Batches to judge by.
        folder: Work directory.

    Raises:
        InputError: The config is of no search of paths, or the checkpoint does not fit.
    """
    cfg = launch.read_config(config, dict(options))
    cfg.work_dir, cfg.launcher = str(folder), 'none'
    runner = launch.build_runner(cfg)
    loop = runner.train_loop
    if not isinstance(loop, PathSearchLoop):
        raise InputError(
            f'{config} trains by {type(loop).__name__}: expected the config of a search of paths, '
            'such as configs/mpnas/search_pocket.py'
        )
    runner.load_checkpoint(checkpoint, map_location='cpu', strict=True)
    model = loop.model
    sums = dict.fromkeys(sets, 0.0)
    for batch in islice(batches(loop.arch_dataloader, 0, 0), count):
        with torch.no_grad():
            data = model.data_preprocessor(batch, True)
        for name, paths in sets.items():
            found = model.quality(data['inputs'], data['data_samples'], paths.routing)
            sums[name] += sum(found.values()) / len(found)
    cost = model.network_cost
    params = {name: int(cost.paths(paths, 'params').union) for name, paths in sets.items()}
    return {name: (params[name], total / count) for name, total in sums.items()}


def plan(
    config: str,
    options: Mapping[str, Any],
    sets: Mapping[str, PathArchitecture],
    seed: int,
    folders: StepFolders,
    tools: Path,
) -> dict[str, Step]:
    """Plan a training and a test of each set; return the tests by name.

    Args:
        config: The config of a network of paths.
        options: Overrides of it.
        sets: The sets of paths; their files are written.
        seed: Of all trainings, so that they see the same images.
        folders: Where steps work.
        tools: Folder of the command lines.
    """
    return {
        name: _test_step(name, config, options, paths, seed, folders, tools)
        for name, paths in sets.items()
    }


def _test_step(
    name: str,
    config: str,
    options: Mapping[str, Any],
    paths: PathArchitecture,
    seed: int,
    folders: StepFolders,
    tools: Path,
) -> Step:
    """Write the file of a set of paths; plan its training, and the test that needs it."""
    file = folders.root / 'paths' / f'{name}.json'
    file.parent.mkdir(parents=True, exist_ok=True)
    paths.save(file)
    own = {**options, 'architecture': str(file)}
    settings = {
        'config': config,
        'options': {**options, 'randomness.seed': seed},
        'paths': digest({'paths': paths.to_dict()['routing']}),
    }
    training, test = folders[f'{name}/train'], folders[f'{name}/test']

    def train_words() -> Sequence[str | Path]:
        words: list[str | Path] = [tools / 'train.py', config, '--resume', '--work-dir', training]
        return [*words, *option_words({**own, 'randomness.seed': seed})]

    def test_words() -> Sequence[str | Path]:
        checkpoint = find_latest_checkpoint(str(training)) or training / 'no_checkpoint.pth'
        words: list[str | Path] = [tools / 'test.py', config, checkpoint, '--work-dir', test]
        return [*words, '--out', test / 'results.json', *option_words(own)]

    trained = Step(f'{name}/train', 'train', settings, train_words, training / 'last_checkpoint')
    return Step(f'{name}/test', 'test', settings, test_words, test / 'results.json', (trained,))


def score_of(test: Step, metric: str) -> float | None:
    """Return the score that a test has left; None if it has left nothing.

    Raises:
        InputError: It has no such metric.
    """
    if not test.output.is_file():
        return None
    results = json.loads(test.output.read_text())
    if metric not in results:
        raise InputError(f'--metric {metric}: the test has {[*results]}')
    return results[metric]


def write_fidelity(folder: Path, command: str, metric: str, rows: Sequence[Judged]) -> str:
    """Write ``fidelity.csv``, ``report.md`` and ``report.html`` with a picture; return a summary.

    Args:
        folder: Where to.
        command: The command line.
        metric: Name of the score after training.
        rows: The sets, the searched one first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = ['paths', 'parameters', 'supernet', metric]
    table = [
        [
            row.name,
            f'{row.params}',
            f'{row.supernet:.4f}',
            '' if row.full is None else f'{row.full:.3f}',
        ]
        for row in rows
    ]
    place = folder / 'fidelity.csv'
    with written_beside(place) as beside, beside.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([header, *table])
    pairs = [(row.name, row.supernet, row.full) for row in rows if row.full is not None]
    names, short = [name for name, *_ in pairs], [value for _, value, _ in pairs]
    full = [value for *_, value in pairs]
    summary = describe_correlation(short, full)
    drawn = [value for name, _, value in pairs if name != SEARCHED]
    if names[:1] == [SEARCHED] and drawn:
        better = sum(value > full[0] for value in drawn)
        summary += (
            f' The searched paths score {full[0]:.3f}; {better} of {len(drawn)} random ones are '
            f'better, their mean is {sum(drawn) / len(drawn):.3f}.'
        )
    blocks: list[Block] = [
        Heading('Paths in the supernet and after training', 1),
        Paragraph('Written by this command, which continues after an interruption:'),
        Code(command),
        Grid(header, table),
        Paragraph(summary),
        Paragraph(
            'The supernet judges by the mean quality over domains, 0 to 1, on training images that '
            'its weights have not seen. The score after training is on validation images.'
        ),
    ]
    if pairs:
        axes = 'quality in the supernet', f'{metric} after training'
        plot_fidelity(names, short, full, folder / 'fidelity.png', axes)
        blocks.append(
            Picture(folder / 'fidelity.png', 'Quality in the supernet and after training')
        )
    for name, text in (('report.md', to_markdown(blocks)), ('report.html', to_html(blocks))):
        with written_beside(folder / name) as beside:
            beside.write_text(text, encoding='utf-8')
    return summary
