"""From the seconds of single iterations to the hours of a whole search."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmbmtas.engine.runner.search_plan import SearchPlan
from mmbmtas.launch.shared_keys import plain_datasets
from mmbmtas.registry import DATASETS


def plan_of(cfg: Config, batch_size: int) -> SearchPlan | None:
    """Return a search's plan on the published number of training images, None if that is unknown.

    Args:
        cfg: Config of a search.
        batch_size: Images of a batch.
    """
    entry, *others = plain_datasets(cfg.train_dataloader.dataset)
    kind = entry['type'] if isinstance(entry['type'], type) else DATASETS.get(entry['type'])
    release = getattr(kind, 'RELEASE', None)
    images = release.sizes.get('train', 0) if release is not None and not others else 0
    loop = cfg.train_cfg
    held_back = round(loop.arch_fraction * images)
    batches = (images - held_back) // batch_size, held_back // batch_size
    return SearchPlan(loop.weight_iters, loop.warmup_iters, *batches) if min(batches) else None


def whole_search(plan: SearchPlan, phases: Mapping[str, Any]) -> dict[str, Any]:
    """Say how long a search takes, if all iterations take as long as those that were timed.

    Loading, validation and checkpoints are not counted.

    Args:
        plan: The search's plan.
        phases: By phase, the seconds of an iteration of each side.
    """
    iterations = {
        'warmup': plan.warmup_iters,
        'arch': plan.arch_iters,
        'weights': plan.weight_iters - plan.warmup_iters,
    }
    hours = {
        side: sum(n * phases[phase][side]['seconds'] for phase, n in iterations.items()) / 3600
        for side in ('ours', 'plain')
    }
    return {'iterations': iterations, 'hours': hours}
