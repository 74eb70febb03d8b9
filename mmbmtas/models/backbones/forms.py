"""In which form the mixture of a layer's candidates runs, by layer and phase.

The forms give the same numbers up to rounding. ``wide``: all candidates as one operation.
``apart``: one after another. ``folded``: so too, the first normalisation within its convolution.
Which is the fastest on a CPU depends on sizes, caches and threads, and on whether weights learn. On
GPUs, which wait for launches, it is always the first.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Literal, get_args

import torch
from mmengine import dist
from mmseg.models.utils import InvertedResidual
from torch import Tensor, nn

from mmbmtas.cost.timing import interleave
from mmbmtas.errors import InputError
from mmbmtas.structures.values import require_choice

from . import apart, wide
from .joining import lay

Form = Literal['wide', 'apart', 'folded']
Choice = Literal['rule', 'timed']
FORMS: tuple[Form, ...] = get_args(Form)
_ROUNDS = 3
_LARGE = 2_000_000
"""Bytes of a candidate's widest map above which candidates run apart: about a core's cache."""
_LONG = {'arch': 512, 'weights': 128}
"""Pixels of a batch, by channel of the input, from which folding pays."""


def run(
    form: Form, candidates: Sequence[nn.Module], weights: Sequence[Tensor], x: Tensor
) -> Tensor:
    """Sum the outputs of some candidates, of a layer that ``wide.fits``, by their weights.

    Args:
        form: How; see the module.
        candidates: At least two, alike but for their weights.
        weights: The weight of each, 0-d.
        x: Input of the layer, ``(N, C_in, H, W)``.
    """
    if form == 'wide':
        return wide.mixture(candidates, weights, x)
    return apart.mixture(candidates, weights, x, folds=form == 'folded')


class Forms:
    """The forms of a supernet's layers.

    Args:
        choice: ``rule``: by sizes, the same on every machine. ``timed``: by a short timing when a
            phase begins, of which checkpoints hold the result.

    Raises:
        InputError: ``choice`` is another.
    """

    def __init__(self, choice: Choice = 'rule') -> None:
        self.choice = require_choice('forms', choice, get_args(Choice))
        self.timed: dict[str, dict[str, str]] = {}

    def of(self, layer: int, candidates: nn.ModuleList, x: Tensor) -> Form:
        """Return the form of a layer whose mixture runs.

        Args:
            layer: Its index.
            candidates: All of them.
            x: Its input.
        """
        possible = possible_forms(candidates, x)
        if len(possible) == 1 or not wide.fits(candidates):
            return 'wide'
        learns = next(candidates.parameters()).requires_grad
        phase = 'weights' if learns else 'arch'
        if self.choice == 'rule':
            return by_rule(candidates[0], x, phase, possible)
        found = self.timed.setdefault(phase, {})
        if str(layer) not in found:
            fastest = [by_time(candidates, x, possible)]
            dist.broadcast_object_list(fastest)  # lest a resumed rank took another's
            found[str(layer)] = fastest[0]
        form = found[str(layer)]
        return next((known for known in possible if known == form), 'apart')

    def load(self, timed: Any) -> None:
        """Take the forms that a checkpoint holds.

        Raises:
            InputError: They are not by phase and layer.
        """
        if not isinstance(timed, dict) or not all(isinstance(v, dict) for v in timed.values()):
            raise InputError(f'the forms in the checkpoint are damaged: found {timed!r:.80}')
        self.timed = {phase: dict(forms) for phase, forms in timed.items()}


def possible_forms(candidates: nn.ModuleList, x: Tensor) -> tuple[Form, ...]:
    """Return the forms in which the candidates of a layer can run."""
    if type(candidates[0]) is not InvertedResidual or x.device.type != 'cpu':
        return ('wide',)
    return FORMS if apart.can_fold(candidates[0], x) else ('wide', 'apart')


def by_rule(block: Any, x: Tensor, phase: str, possible: Sequence[Form]) -> Form:
    """Choose by sizes, as the timings in docs/performance.md suggest."""
    pixels = len(x) * x.shape[2] * x.shape[3]
    widest = max(module.conv.out_channels for module in block.conv)
    if pixels * widest * x.element_size() < _LARGE:
        return 'wide'
    return 'folded' if 'folded' in possible and pixels >= _LONG[phase] * x.shape[1] else 'apart'


def by_time(candidates: nn.ModuleList, x: Tensor, possible: Sequence[Form]) -> Form:
    """Choose the form whose forward and backward pass take least time; nothing changes by it."""
    copies = deepcopy(candidates)  # which have statistics of their own
    lay(copies)
    weights = x.new_full((len(copies),), 1 / len(copies)).requires_grad_()
    own = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    wanted = [p for p in copies.parameters() if p.requires_grad] + [weights, own]

    def run_both_ways(form: Form) -> None:
        with torch.enable_grad():
            y = run(form, [*copies], [*weights], own)
        torch.autograd.grad(y, wanted, torch.ones_like(y))

    return fastest({form: partial(run_both_ways, form) for form in possible})


def fastest(calls: Mapping[Form, Callable[[], None]]) -> Form:
    """Return which of some calls on the CPU takes least time, each at its best."""
    by_name = {str(form): call for form, call in calls.items()}
    seconds = interleave(by_name, torch.device('cpu'), warmup=1, repeats=_ROUNDS)
    return min(calls, key=lambda form: min(seconds[form]))
