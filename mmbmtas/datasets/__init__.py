from . import transforms
from .base import MultiTaskDataset
from .collating import collate_in_block
from .concat import ConcatDataset
from .domain_sampler import DomainSampler
from .folder import FolderMT
from .nyudv2 import NYUDv2MT
from .pascal_context import PascalContextMT
from .planted import PlantedMT
from .release import CachedSteps, Release
from .visual_decathlon import VisualDecathlon

__all__ = [
    'CachedSteps',
    'ConcatDataset',
    'DomainSampler',
    'FolderMT',
    'MultiTaskDataset',
    'NYUDv2MT',
    'PascalContextMT',
    'PlantedMT',
    'Release',
    'VisualDecathlon',
    'collate_in_block',
    'transforms',
]
