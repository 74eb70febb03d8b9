"""A search that compares the features that tasks have learned, then takes the best tree."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch import Tensor

from mmbmtas.errors import InputError
from mmbmtas.grouping import FeatureMoments, Tree, most_similar_tree
from mmbmtas.grouping.least_cost import MAX_TASKS
from mmbmtas.registry import LOOPS
from mmbmtas.structures.values import filled_in_from, require_count
from mmbmtas.visualization.affinity import plot_affinities_and_tree
from mmbmtas.writing import written_beside

from .branched_search_loop import BranchedSearchLoop
from .train_loader import batches

_MAX_FEATURES = 256
_PIXELS_A_BATCH = 1024
_PIXELS_A_CHANNEL = 8


@LOOPS.register_module()
class SimilaritySearchLoop(BranchedSearchLoop):
    """Warm up, compare the tasks' features in every layer, and take the best tree within a budget.

    This method is ours, not the paper's: see ``docs/method.md``.

    1. With ``shared_fraction``, all tasks first train one shared network. Then every task trains
       its own candidates, as in the paper's warm-up. This takes the weight split; no architecture
       parameters are trained.
    2. On images of the architecture split, the loop measures how well each task's features predict
       those of each other task, linearly and pixel by pixel (:class:`FeatureMoments`).
    3. Dynamic programming finds the best of **all** trees by the scatter within groups
       (:func:`~mmbmtas.grouping.most_similar_tree`). With ``resource_loss.target_madds`` it takes
       the least scatter among trees that cost at most this; otherwise ``resource_loss.weight``
       weighs the cost, and a larger weight never gives a more expensive tree.

    The tree becomes the most probable one of ``arch_params``, so exports and checkpoints work as in
    any search. The loop writes the similarities to ``WORK_DIR/similarity.json``, from which
    ``tools/grouping/similarity.py`` chooses trees for other budgets, and draws them with the tree
    in ``similarity.png``.

    Args:
        runner: The runner.
        dataloader: Config of the loader; both splits use it.
        weight_iters: Iterations of the weights.
        arch_fraction: Share of the training images in the architecture split.
        split_seed: Seed of the split.
        shared_fraction: Share of the iterations that train one shared network first; see
            :class:`BranchedSearchLoop`.
        batches: Batches of the architecture split on which features are compared; the whole split
            if it has fewer. Each batch counts with at most 1,024 pixels and 256 channels of each
            layer, drawn at random; with fewer channels where there are not eight pixels for each.

    Raises:
        InputError: There are more than 8 tasks, the resource loss has a latency table, or
            :class:`BranchedSearchLoop` refuses the settings.

    Example:
        >>> train_cfg = dict(type='SimilaritySearchLoop', weight_iters=400, arch_fraction=0.2)
    """

    searches_by_gradient = False

    @filled_in_from('weight_iters', 'train_cfg.weight_iters')
    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        weight_iters: int,
        arch_fraction: float = 0.2,
        split_seed: int = 0,
        batches: int = 16,
        shared_fraction: float = 0.0,
    ) -> None:
        require_count('train_cfg.batches of SimilaritySearchLoop', batches)
        super().__init__(
            runner,
            dataloader,
            weight_iters,
            weight_iters,
            arch_fraction,
            split_seed,
            shared_fraction=shared_fraction,
        )
        self.batches = batches

    def run(self) -> Any:
        """Search, from the iteration at which the runner was resumed."""
        if len(self.model.tasks) > MAX_TASKS:
            raise InputError(
                f'SimilaritySearchLoop compares at most {MAX_TASKS} tasks, found '
                f'{len(self.model.tasks)}: search with BranchedSearchLoop'
            )
        if self.model.resource_loss.latency is not None:
            raise InputError(
                'SimilaritySearchLoop counts multiply-adds: remove resource_loss.latency, or '
                'search with BranchedSearchLoop'
            )
        self._supernet()  # before any work
        return super().run()

    def _step_weights(self, data: dict[str, Any], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Step the weights after each task; after the last iteration, choose the tree."""
        logs = super()._step_weights(data, tasks)
        if self._iter + 1 == self.max_iters:
            similarities = self.measure_similarities()
            self._supernet().route(self.choose(similarities))
            self._write(similarities)
        return logs

    @torch.no_grad()
    def measure_similarities(self) -> NDArray[np.float64]:
        """Measure how similar the tasks' features are in each layer, ``(L, T, T)``."""
        backbone = self._supernet()
        tasks = range(len(backbone.tasks))
        number = min(self.batches, len(self.arch_dataloader))
        generator = torch.Generator().manual_seed(self.runner.seed)
        moments: list[FeatureMoments] = []
        channels: dict[int, Tensor] = {}
        pixels: dict[int, Tensor] = {}  # of this batch, as are the values
        values: dict[tuple[int, int], Any] = {}

        def keep(layer: int, task: int) -> Any:
            def hook(module: Any, args: Any, output: Tensor) -> None:
                if layer not in pixels:
                    order = torch.randperm(output[:, 0].numel(), generator=generator)
                    pixels[layer] = order[:_PIXELS_A_BATCH]
                if layer not in channels:
                    expected = number * len(pixels[layer])
                    channels[layer] = _draw_channels(output.shape[1], expected)
                values[layer, task] = _pick(output, channels[layer], pixels[layer]).cpu().numpy()

            return hook

        print_log(f'Comparing the features of {number} batches.', logger='current')
        self.model.eval()
        with ExitStack() as stack:
            for layer, candidates in enumerate(backbone.layers):
                for task in tasks:
                    handle = candidates[task].register_forward_hook(keep(layer, task))
                    stack.callback(handle.remove)
            for _, data_batch in zip(
                range(number), batches(self.arch_dataloader, 0, 0), strict=False
            ):
                backbone(self.model.data_preprocessor(data_batch, False)['inputs'])
                for layer in range(len(backbone.layers)):
                    if len(moments) == layer:
                        moments.append(FeatureMoments(len(tasks), len(channels[layer])))
                    moments[layer].add([values[layer, task] for task in tasks])
                pixels.clear()
                values.clear()
        self.model.train()
        device = backbone.arch_params.device
        return np.stack([_joined(layer, device).similarity() for layer in moments])

    def choose(self, similarities: NDArray[np.float64]) -> Tree:
        """Choose the tree of least scatter within the budget, or of least scatter plus cost."""
        loss, model = self.model.resource_loss, self.model
        return most_similar_tree(
            similarities,
            model.network_cost.layer_madds,
            model.fixed_cost.madds,
            loss.target_madds,
            loss.weight,
        )

    def _write(self, similarities: NDArray[np.float64]) -> None:
        """Write the similarities and a picture of them below the tree."""
        if not is_main_process():
            return
        backbone = self.model.backbone
        document = {
            'tasks': [*backbone.tasks],
            'layers': [*backbone.encoder.layer_names],
            'similarities': similarities.round(6).tolist(),
        }
        path = Path(self.runner.work_dir) / 'similarity.json'
        with written_beside(path) as beside:
            beside.write_text(json.dumps(document, indent=1) + '\n')
        with written_beside(path.with_suffix('.png')) as beside:
            plot_affinities_and_tree(
                similarities,
                self.model.export_architecture(),
                beside,
                label='variance explained',
            )


def _draw_channels(number: int, pixels: int) -> Tensor:
    """Draw the channels of a layer to compare, the same on every rank.

    With too many for the number of pixels any features would explain any others.
    """
    generator = torch.Generator().manual_seed(0)
    most = max(1, min(_MAX_FEATURES, pixels // _PIXELS_A_CHANNEL))
    return torch.randperm(number, generator=generator)[:most]


def _pick(output: Tensor, channels: Tensor, pixels: Tensor) -> Tensor:
    """Pick channels and pixels of a layer's output ``(N, C, H, W)``, as ``(pixels, channels)``."""
    rows = output.movedim(1, -1).flatten(end_dim=-2)
    return rows[pixels.to(rows.device)][:, channels.to(rows.device)].float()


def _joined(moments: FeatureMoments, device: torch.device) -> FeatureMoments:
    """Add up the moments of all ranks."""
    if get_world_size() == 1:
        return moments
    numbers = torch.from_numpy(
        np.concatenate([[moments.count], moments.total, moments.products.ravel()])
    ).to(device)
    all_reduce(numbers)
    numbers = numbers.cpu()
    size = len(moments.total)
    moments.count = int(numbers[0])
    moments.total = numbers[1 : size + 1].numpy()
    moments.products = numbers[size + 1 :].view(size, size).numpy()
    return moments
