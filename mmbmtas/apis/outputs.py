"""Predictions as files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmbmtas.structures.documents import Document, write_document
from mmbmtas.structures.tasks import label_task
from mmbmtas.visualization.label_maps import class_table, default_palette
from mmbmtas.writing import write_array, written_beside

from .prediction import Prediction


def write_prediction(prediction: Prediction, folder: str | Path, name: str) -> list[Path]:
    """Write the contact sheet and the raw maps of one image.

    ========================  ==================================================================
    ``sheets/<name>.png``     image and all tasks side by side
    ``<task>/<name>.png``     semseg, human_parts: class of each pixel, with a palette; saliency,
                              edge: probability times 255, rounded down, the form that
                              ``tools/analysis_tools/eval_edges.py`` scores
    ``<task>/<name>.npy``     normals: unit vectors x, y, z, float32 ``(H, W, 3)``; depth: metres,
                              float32 ``(H, W)``; as NYUD-v2's packaging B has them
    ``<task>/<name>.json``    class of the whole image: ``label``, its name as ``class`` (null if
                              none is known), and the ``scores`` of all classes
    ========================  ==================================================================

    Args:
        prediction: Of the image.
        folder: Where to write; made if missing.
        name: Name of the files, without an ending.

    Returns:
        The files written.
    """
    folder = Path(folder)
    sheet = folder / 'sheets' / f'{name}.png'
    _write_picture(Image.fromarray(prediction.draw_sheet(name)), sheet)
    written = [sheet]
    palettes = prediction.dataset_meta.get('palette') or {}
    kinds = prediction.sample.metainfo.get('task_kinds')
    for name_of_task, array in prediction.arrays().items():
        task = label_task(name_of_task, array.dtype.kind == 'f', kinds)
        path = folder / name_of_task / f'{name}.png'
        if array.ndim == 1:
            path = path.with_name(f'{name}.json')
            names = (prediction.dataset_meta.get('classes') or {}).get(name_of_task)
            write_document(_describe_label(array, names), path)
            written.append(path)
            continue
        if task.kind == 'classes' and array.dtype == np.uint8:
            picture = Image.fromarray(array)
            table = class_table(palettes.get(name_of_task) or default_palette(task))
            picture.putpalette(table.tobytes())
        elif task.kind == 'binary':
            picture = Image.fromarray((array * 255).astype(np.uint8))
        else:
            path = path.with_name(f'{name}.npy')
            write_array(array, path)
            written.append(path)
            continue
        _write_picture(picture, path)
        written.append(path)
    return written


def _describe_label(scores: np.ndarray, names: Sequence[str] | None) -> Document:
    label = int(scores.argmax())
    return {
        'label': label,
        'class': names[label] if names and label < len(names) else None,
        'scores': [round(float(score), 6) for score in scores],
    }


def _write_picture(picture: Image.Image, path: Path) -> None:
    with written_beside(path) as beside:
        picture.save(beside)
