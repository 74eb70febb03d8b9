"""A model, a data set and a metric of a few lines, for the command lines' tests."""

import os
import signal

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset, get_worker_info

from mmbmtas.registry import DATASETS, METRICS, MODELS


@MODELS.register_module()
class ToyBackbone(nn.Module):
    """A linear layer; says which architecture's file it was given."""

    def __init__(self, architecture=None, width=1):
        super().__init__()
        print('toy architecture:', architecture)
        self.linear = nn.Linear(2, width)
        self.idle = nn.Parameter(torch.zeros(1))  # gets no gradient, as a task without labels
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x):
        return self.norm(self.linear(x))


@MODELS.register_module()
class ToyModel(BaseModel):
    """Fits its inputs' sum."""

    def __init__(self, backbone, scale=1.0):
        super().__init__()
        self.scale = scale
        self.backbone = MODELS.build(backbone)

    def forward(self, inputs, mode='tensor'):
        out = self.backbone(inputs)
        if mode == 'loss':
            return {'loss': (out - inputs.sum(1, keepdim=True)).square().mean()}
        return [{'value': float(value)} for value in out.mean(1)]


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Eight pairs of numbers; wants its folder to be there. May kill the workers that load it."""

    def __init__(self, data_root=None, deadly=False):
        self.deadly = deadly
        if data_root is not None and not os.path.isdir(data_root):
            raise FileNotFoundError(f'{data_root} is no folder: unpack the toys there')

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if self.deadly and get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return {'inputs': torch.tensor([1.0, float(index)])}


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Counts the images, and gives a number that JSON lacks."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return {'count': len(results), 'lost': float('nan')}
