"""The backbone of a search: frozen, and without its context module."""

from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmbmtas.cells.features import CachedFeatures
from mmbmtas.encoders import CONTEXT, Encoder, build_encoder
from mmbmtas.errors import InputError
from mmbmtas.models.backbones import BranchedNetwork
from mmbmtas.structures import BranchedArchitecture, as_architecture


class FrozenBackbone(nn.Module):
    """The backbone of a config up to its context module, as it starts a training.

    Args:
        cfg: A prepared config with ``model.backbone``, a ``BranchedNetwork``.

    Attributes:
        encoder: The encoder.

    Raises:
        InputError: The config's backbone has no encoder with a context module.
    """

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.encoder = encoder_of(cfg)
        backbone = cfg.model.backbone
        tree = BranchedArchitecture.shared(
            ['all'], self.encoder.to_config(), self.encoder.num_layers
        )
        torch.manual_seed(0)  # without weights from a file, the same random ones each time
        self.network = BranchedNetwork(
            tree, self.encoder, task='all', init_cfg=backbone.get('init_cfg')
        )
        self.network.init_weights()
        self.network.layers[-1][0] = nn.Identity()
        self.preprocessor = MODELS.build(cfg.model.data_preprocessor)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Sequence[Tensor]) -> CachedFeatures:
        """Compute the features of images ``(3, H, W)`` of one size, uint8."""
        samples = [SegDataSample() for _ in images]
        data = self.preprocessor({'inputs': [*images], 'data_samples': samples}, False)
        return CachedFeatures(*self.network(data['inputs']))


def encoder_of(cfg: Config) -> Encoder:
    """Return the encoder of a config's backbone.

    Raises:
        InputError: There is none, or it has no context module.
    """
    backbone = (cfg.get('model') or {}).get('backbone') or {}
    given = backbone.get('encoder')
    if given is None and backbone.get('architecture') is not None:
        given = as_architecture(backbone['architecture']).encoder
    if given is None:
        raise InputError(f'{cfg.filename}: model.backbone.encoder is missing')
    encoder = build_encoder(given)
    if encoder.layer_names[-1] != CONTEXT:
        raise InputError(f'{cfg.filename}: {type(encoder).__name__} has no context module')
    return encoder
