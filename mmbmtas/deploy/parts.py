"""Parts of a network in ONNX Runtime, to be timed."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from .extra import require
from .formats import to_onnx
from .sessions import open_session


class _Part(nn.Module):
    """Modules, and how they are run."""

    def __init__(self, run: Callable[..., Any], modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.run = run
        self.parts = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(*inputs)


def runtime_call(
    run: Callable[..., Any], modules: Sequence[nn.Module], inputs: Sequence[Tensor]
) -> Callable[[], object]:
    """Export some modules; return a call that runs them in ONNX Runtime on the CPU.

    Inputs and outputs stay where they are, so that no copy of them is timed.

    Args:
        run: From inputs to a tensor or a tuple of them.
        modules: What it runs, in evaluation mode.
        inputs: The inputs.

    Raises:
        InputError: onnx or ONNX Runtime is missing, or torch cannot export it.
    """
    runtime = require('onnxruntime')
    names = [f'input{index}' for index in range(len(inputs))]
    model = to_onnx(_Part(run, modules).eval(), inputs, names, (), {})
    session = open_session(model.SerializeToString(), ['CPUExecutionProvider'])
    binding = session.io_binding()
    for name, x in zip(names, inputs, strict=True):
        value = runtime.OrtValue.ortvalue_from_numpy(x.numpy())
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return lambda: session.run_with_iobinding(binding)
