"""Networks made ready for inference predict what they did before."""

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from mmbmtas.models.inference import prepare_for_inference

TASKS = ('semseg', 'normals', 'edge')


@pytest.fixture(params=['mobilenet', 'resnet', 'CrossStitchNetwork', 'NDDRCNN', 'MTAN'])
def network(request, toys):
    encoder = toys.RESNET if request.param == 'resnet' else toys.MOBILENET
    if request.param in ('mobilenet', 'resnet'):
        model = toys.build(toys.branched_config(TASKS, encoder))
    else:
        model = toys.build(toys.exchange_config(request.param, TASKS))
    toys.randomise(model)
    return model


@pytest.mark.parametrize('options', [(True, False), (True, True)])
def test_outputs_stay(network, options, toys):
    image = toys.batch(TASKS, (64, 96), count=1)[0]
    with torch.inference_mode():
        expected = network.eval().encode_decode(image)
        prepared = prepare_for_inference(network.train(), *options)
        found = prepared.encode_decode(image)
    assert prepared is network
    assert not prepared.training
    assert any(isinstance(part, _BatchNorm) for part in prepared.modules()) != options[0]
    for task in TASKS:
        scale = expected[task].abs().max().item()
        torch.testing.assert_close(found[task], expected[task], rtol=0, atol=1e-4 * scale)


def test_channels_last_reaches_the_features(toys):
    network = toys.build(toys.branched_config(TASKS))
    prepare_for_inference(network, channels_last=True)
    with torch.inference_mode():
        _, context = network.backbone(toys.batch(TASKS)[0])['edge']
    assert context.is_contiguous(memory_format=torch.channels_last)
    assert not context.is_contiguous()


def test_a_supernet_has_nothing_to_fold(toys):
    supernet = toys.build(toys.search_config(TASKS))
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    with pytest.raises(
        ValueError, match=r'fuse_conv_bn: backbone\.layers\..* SearchEncoderDecoder'
    ):
        prepare_for_inference(supernet, fuse_conv_bn=True)
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
