"""ONNX Runtime: its sessions, and where they compute."""

from collections.abc import Sequence
from typing import Any

import torch

from .extra import require


def open_session(content: str | bytes, providers: Sequence[str]) -> Any:
    """Open a file or its bytes in ONNX Runtime, on as many threads as torch has."""
    runtime = require('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=[*providers])


def runtime_place() -> str:
    """Name where ONNX Runtime computes on the CPU."""
    threads = torch.get_num_threads()
    plural = 's' if threads > 1 else ''
    return f'ONNX Runtime {require("onnxruntime").__version__}, CPU, {threads} thread{plural}'
