"""Runs exported networks: by ONNX Runtime, or of torch's formats by torch."""

import io
import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mmbmtas.errors import InputError, MissingFileError
from mmbmtas.structures.documents import Document, expect

from .description import INPUT, from_metadata
from .export import ExportedNetwork
from .extra import require
from .formats import DESCRIPTION
from .sessions import open_session

_PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}


class RunningNetwork(Protocol):
    """An exported network that can be run.

    Attributes:
        description: What its metadata say, see :mod:`mmbmtas.deploy.description`.
    """

    description: Document

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray]:
        """Return the output of each task for RGB images ``(N, 3, H, W)``."""


class OnnxNetwork:
    """An exported network in ONNX Runtime, on as many threads as torch has.

    Args:
        source: An ONNX file that ``tools/export_onnx.py`` wrote, or its bytes.
        device: ``cpu`` or ``cuda``; by default a GPU if this ONNX Runtime knows one.

    Attributes:
        description: What its metadata say, see :mod:`mmbmtas.deploy.description`.

    Raises:
        FileNotFoundError: There is no such file.
        InputError: It is no ONNX file, or says nothing of its tasks; ONNX Runtime is missing, or
            has no such device.
    """

    def __init__(self, source: str | Path | bytes, device: str | None = None) -> None:
        runtime = require('onnxruntime')
        name = 'the exported network' if isinstance(source, bytes) else os.fspath(source)
        if not isinstance(source, bytes) and not Path(source).is_file():
            raise MissingFileError(f'{name} is not an ONNX file: there is no such file')
        providers = _providers(runtime.get_available_providers(), device)
        content = source if isinstance(source, bytes) else name
        try:
            self._session = open_session(content, providers)
        except Exception as error:  # ONNX Runtime's have no base of their own
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(f'{name} is not an ONNX file that can be run: {first:.300}') from error
        self.name = name
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.description = from_metadata(metadata, name)
        found = [place.name for place in self._session.get_outputs()]
        expect(found == [*self.tasks], name, 'outputs', found, f'the tasks {[*self.tasks]}')
        inputs = self._session.get_inputs()
        right = [place.name for place in inputs] == [INPUT] and inputs[0].type == 'tensor(uint8)'
        expect(right, name, 'inputs', [place.name for place in inputs], f'{INPUT}, uint8')
        self._shape = inputs[0].shape

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the order of the outputs."""
        return tuple(self.description['tasks'])

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray]:
        """Return the output of each task.

        Args:
            images: RGB, ``(N, 3, H, W)``.

        Raises:
            InputError: The network was exported for images of another size.
        """
        fits = [
            isinstance(size, str) or size == now
            for size, now in zip(self._shape, images.shape, strict=True)
        ]
        if not all(fits):
            count, _, height, width = self._shape
            raise InputError(
                f'{self.name} takes {count} image of {height} x {width} pixels at a time, not '
                f'{len(images)} of {images.shape[2]} x {images.shape[3]}: export it with '
                '--dynamic, or with another --shape'
            )
        outputs = self._session.run(None, {INPUT: np.ascontiguousarray(images)})
        return dict(zip(self.tasks, outputs, strict=True))


class TorchNetwork:
    """A network that was exported in this process to a format of torch, loaded by torch alone.

    Files of others are not taken: to load a program of ``torch.export`` is to run its code.

    Args:
        exported: The exported network, ``.pt2`` or ``.ts``.

    Attributes:
        description: As the file has it.
    """

    def __init__(self, exported: ExportedNetwork) -> None:
        extra: dict[str, Any] = {DESCRIPTION: ''}
        content = io.BytesIO(exported.content)
        if exported.suffix == '.ts':
            self._module = torch.jit.load(content, 'cpu', _extra_files=extra)
        else:
            self._module = torch.export.load(content, extra_files=extra).module()
        self.description: Document = json.loads(extra[DESCRIPTION])

    @torch.no_grad()
    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray]:
        """Return the output of each task for RGB images ``(N, 3, H, W)``."""
        outputs = self._module(torch.from_numpy(np.ascontiguousarray(images)))
        return {t: x.numpy() for t, x in zip(self.description['tasks'], outputs, strict=True)}


def load_exported(exported: ExportedNetwork) -> RunningNetwork:
    """Load what was exported, on the CPU, as whoever gets the file would.

    Raises:
        InputError: ONNX Runtime is missing.
    """
    if exported.suffix == '.onnx':
        return OnnxNetwork(exported.content, 'cpu')
    return TorchNetwork(exported)


def _providers(available: list[str], device: str | None) -> list[str]:
    """Choose where ONNX Runtime computes; the CPU comes last, for what a GPU lacks."""
    if device is None:
        return [name for name in reversed(_PROVIDERS.values()) if name in available]
    kind = device.partition(':')[0]
    if kind not in _PROVIDERS or _PROVIDERS[kind] not in available:
        known = [name for name, provider in _PROVIDERS.items() if provider in available]
        raise InputError(f'device {device!r}: this ONNX Runtime has {" and ".join(known)}')
    return [*dict.fromkeys((_PROVIDERS[kind], _PROVIDERS['cpu']))]
