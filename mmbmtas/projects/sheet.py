"""Draws some samples of a folder, with their labels, on one sheet."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmbmtas.datasets import FolderMT
from mmbmtas.errors import UserError
from mmbmtas.visualization import draw_contact_sheet, sample_columns, sample_image
from mmbmtas.writing import written_beside

from .plan import Plan
from .text import dataset_settings, label_settings, needs_list

_CELL = 170


def draw_samples(plan: Plan, folder: str | Path, number: int = 5) -> Path:
    """Draw samples as training reads them, those with most labels first.

    Args:
        plan: The project, whose files are written.
        folder: The project's folder; the sheet is ``samples.png`` there.
        number: Samples to draw.

    Returns:
        The sheet.
    """
    files = str(Path(folder, 'files.csv').resolve()) if needs_list(plan.found) else None
    settings = dataset_settings(plan, files)
    settings.pop('type')
    dataset = FolderMT(
        str(plan.found.root),
        {task.found.name: label_settings(task.found) for task in plan.tasks},
        pipeline=[
            {'type': 'LoadSampleImage'},
            {'type': 'LoadFolderLabels'},
            {'type': 'PackMultiTaskInputs'},
        ],
        test_mode=True,
        **settings,
    )
    order = sorted(range(len(dataset)), key=lambda i: -len(dataset.get_data_info(i)['label_paths']))
    sheets = []
    for index in order:
        try:
            item = dataset[index]
        except UserError:  # the report has named the file
            continue
        sample = item['data_samples']
        image = sample_image(item['inputs'], sample)
        columns = sample_columns(sample, dataset.metainfo)
        title = f'{Path(sample.metainfo["img_path"]).name}   {image.shape[0]} x {image.shape[1]}'
        sheets.append(draw_contact_sheet(image, columns, title, _CELL))
        if len(sheets) == number:
            break
    path = Path(folder) / 'samples.png'
    with written_beside(path) as beside:
        Image.fromarray(_stack(sheets)).save(beside, format='PNG')
    return path


def _stack(sheets: list[np.ndarray]) -> np.ndarray:
    """The sheets one below the other, on white."""
    width = max((sheet.shape[1] for sheet in sheets), default=1)
    rows = [
        np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in sheets
    ]
    return np.concatenate(rows) if rows else np.full((1, 1, 3), 255, np.uint8)
