"""The base of inferencers: images in; predictions, arrays and contact sheets out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmbmtas.errors import InputError, UserError

from .outputs import write_prediction
from .photos import Photo, as_bgr, list_photos, read_photo, unique_names
from .prediction import Prediction


@dataclass(frozen=True)
class Outcome:
    """The prediction for one of several images, or the reason why there is none."""

    name: str
    prediction: Prediction | None = None
    error: str | None = None


class PhotoInferencer(ABC):
    """Predicts a user's images; a subclass defines how to predict one image."""

    @abstractmethod
    def predict(self, photo: Photo) -> Prediction:
        """Predict one image, a file or an array.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no image; names the file.
        """

    def __call__(
        self,
        inputs: Photo | Sequence[Photo],
        out_dir: str | Path | None = None,
        return_vis: bool = False,
    ) -> dict[str, Any]:
        """Predict images.

        Args:
            inputs: A file, a folder, an array (BGR uint8 ``(H, W, 3)``), or several of them.
            out_dir: Folder to write arrays and contact sheets into, image by image; see
                :func:`mmbmtas.apis.write_prediction`.
            return_vis: Whether to return the sheets.

        Returns:
            Lists with an entry an image: ``predictions`` (:meth:`Prediction.arrays`),
            ``visualization`` (the sheet) and ``errors``. An image that cannot be read has a message
            there, and None in the others; the rest goes on.

        Raises:
            ValueError: No image could be read.
        """
        results: dict[str, Any] = {'predictions': [], 'visualization': [], 'errors': []}
        for outcome in self.run(list_photos(inputs), out_dir):
            found = outcome.prediction
            sheet = found.draw_sheet(outcome.name) if found and return_vis else None
            results['predictions'].append(found.arrays() if found else None)
            results['visualization'].append(sheet)
            results['errors'].append(outcome.error)
        if results['errors'] and all(results['errors']):
            raise InputError('; '.join(results['errors']))
        return results

    def run(self, photos: Iterable[Photo], out_dir: str | Path | None = None) -> Iterator[Outcome]:
        """Predict images one by one; an unreadable image does not stop the others.

        Args:
            photos: Files and arrays.
            out_dir: As in :meth:`__call__`.

        Yields:
            The outcome of each image, once its files are written.
        """
        photos = list(photos)
        for name, photo in zip(unique_names(photos), photos, strict=True):
            try:
                prediction = self.predict(photo)
            except UserError as error:
                yield Outcome(name, error=str(error))
                continue
            if out_dir is not None:
                write_prediction(prediction, out_dir, name)
            yield Outcome(name, prediction)


def read_bgr(photo: Photo) -> np.ndarray:
    """Return an image, BGR uint8 ``(H, W, 3)``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image; names the file.
    """
    return as_bgr(photo) if isinstance(photo, np.ndarray) else read_photo(photo)
