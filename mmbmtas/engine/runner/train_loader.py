"""Loaders of training images whose samples can be drawn again, from any batch on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.device import get_device
from mmengine.dist import get_dist_info
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader, Sampler, get_worker_info

from mmbmtas.engine.randomness import Stream, seed_cpu, seeded
from mmbmtas.errors import InputError
from mmbmtas.foreign import keep_labels_in_place
from mmbmtas.registry import DATA_SAMPLERS, DATASETS


class Draw(int):
    """The index of a sample in its data set, with the place of this draw in the training.

    Attributes:
        place: The pass, and the number of the draw in it, counted over all ranks.
    """

    place: tuple[int, int]


class NumberedSampler(Sampler):
    """Give a sampler's indices as :class:`Draw`.

    Draws are counted over all ranks: a batch of all ranks together has the draws that it would
    have in one process.

    Args:
        sampler: Config of the sampler, or a sampler.
        dataset: What the sampler is built for.
        seed: What the sampler is built with.
    """

    def __init__(self, sampler: Any, dataset: Any, seed: int | None) -> None:
        if isinstance(sampler, Mapping):
            sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.sampler = sampler
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Start epoch ``epoch`` at the next iteration over the sampler."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[Draw]:
        """Go through a pass, without its first ``start`` indices."""
        rank, ranks = get_dist_info()
        for number, index in enumerate(self.sampler):
            if number >= self.start:
                draw = Draw(index)
                draw.place = (self.epoch, number * ranks + rank)
                yield draw


class SeededSamples:
    """A data set whose samples are drawn with a seed of their own, that of their :class:`Draw`.

    Everything else is the data set's.

    Args:
        dataset: The data set.
        seed: The run's.
        stream: What kind of samples they are.
    """

    def __init__(self, dataset: Any, seed: int, stream: Stream) -> None:
        self.dataset = dataset
        self.seed = seed
        self.stream = stream

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, Draw):
            return self.dataset[index]
        place = self.seed, self.stream, *index.place
        if get_worker_info() is not None:  # a worker draws nothing else
            seed_cpu(*place)
            return self.dataset[int(index)]
        with seeded(*place):
            return self.dataset[int(index)]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return some samples; the data set's own way would pass by their seeds."""
        return [self[index] for index in indices]

    def __deepcopy__(self, memo: Any) -> 'SeededSamples':
        """Stay one: mmengine copies the configs of loaders, and what they hold."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # not there yet, while a process unpickles it
            raise AttributeError(name)
        return getattr(self.dataset, name)


def build_train_loader(runner: Runner, cfg: Any, stream: Stream = Stream.SAMPLES) -> DataLoader:
    """Build a loader whose samples depend on the run's seed and their place in the training only.

    Args:
        runner: The runner.
        cfg: Config of the loader, its ``dataset`` a config or built. A loader is given back as it
            is: its samples draw from the generators' state.
        stream: What kind of samples they are.

    Raises:
        ValueError: The config states no batch size, or one that its sampler cannot serve.
    """
    if isinstance(cfg, DataLoader):
        return cfg
    batch_size = batch_size_of(cfg)
    dataset = SeededSamples(build_dataset(cfg['dataset']), runner.seed, stream)
    sampler = {'type': NumberedSampler, 'sampler': cfg['sampler']}
    # Pinned, lest uploads be waited for; elsewhere torch warns of it.
    pinned = {'pin_memory': True, **cfg} if get_device() == 'cuda' else cfg
    loader = runner.build_dataloader(
        {**pinned, 'dataset': dataset, 'sampler': sampler},
        seed=runner.seed,
        diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False),
    )
    own: Any = getattr(_sampler(loader), 'sampler', None)
    if hasattr(own, 'check_batch'):  # as DomainSampler has it
        own.check_batch(batch_size)
    return loader


def batch_size_of(cfg: Mapping[str, Any]) -> int:
    """Return the batch size of a rank that the config of a loader states.

    Raises:
        ValueError: It states none.
    """
    if 'batch_size' not in cfg:
        raise InputError(
            'train_dataloader.batch_size is missing. State it, or state total_batch_size at the '
            'top of the config and build the runner by mmbmtas.launch.build_runner(cfg), which '
            'fills it in'
        )
    return cfg['batch_size']


def build_dataset(cfg: Any) -> Any:
    """Build a data set from its config, unless it is one."""
    dataset = DATASETS.build(cfg) if isinstance(cfg, dict) else cfg
    _keep_labels_in_place(dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    return dataset


def _keep_labels_in_place(dataset: Any) -> None:
    """Guard the pipelines of a data set, and of those within it, that mmengine has built."""
    keep_labels_in_place(getattr(dataset, 'pipeline', None))
    within = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    for inner in within:
        if inner is not None:
            _keep_labels_in_place(inner)


def whole_batches(loader: DataLoader) -> int:
    """Count the whole batches of one epoch over the data set, all ranks together.

    Samplers give all ranks equally many images, the first ones again if need be. That may make a
    batch that a single process does not have; it does not count.
    """
    if type(loader.batch_sampler) is not BatchSampler:
        return len(loader)
    joint = (loader.batch_size or 1) * get_dist_info()[1]
    return min(len(loader), len(loader.dataset) // joint)  # type: ignore[arg-type]


def is_endless(loader: DataLoader) -> bool:
    """Tell whether a loader is infinite."""
    sampler = _sampler(loader)
    return isinstance(getattr(sampler, 'sampler', sampler), InfiniteSampler)


def batches(loader: DataLoader, epoch: int, start: int) -> Iterator[Any]:
    """Yield the batches of an epoch after the first ``start``, which are not loaded if possible.

    Args:
        loader: What :func:`build_train_loader` gives.
        epoch: Passes before this one.
        start: Batches of this pass before the first one.
    """
    sampler = _sampler(loader)
    if hasattr(sampler, 'set_epoch'):
        sampler.set_epoch(epoch)
    can_skip = isinstance(sampler, NumberedSampler) and type(loader.batch_sampler) is BatchSampler
    if can_skip:
        sampler.start = start * (loader.batch_size or 1)
    iterator = iter(loader)
    for _ in range(0 if can_skip else start):
        next(iterator)
    yield from iterator


def _sampler(loader: DataLoader) -> Any:
    """Return what gives the indices, of which batches are made."""
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)
