"""Measuring a latency table in ONNX Runtime, with a clock that we set."""

import pytest
from mmengine.config import Config

from mmbmtas.comparison import exported_latency
from mmbmtas.cost import timing
from mmbmtas.launch.tree_config import read_tree_config

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')
TASKS = ('semseg', 'normals', 'depth')


@pytest.fixture
def config(toys, tmp_path):
    """A search of three layers."""
    model = toys.search_config(TASKS, toys.TINY)
    Config({'default_scope': 'mmbmtas', 'model': model}).dump(tmp_path / 'config.py')
    return read_tree_config(str(tmp_path / 'config.py'))


def test_parts_take_together_what_the_shared_network_takes(config, monkeypatch):
    """Let a part take 1 ms more alone than within a network."""
    now, exported = [0.0], []
    plain = exported_latency.runtime_call

    def own(modules):
        """Milliseconds within a network: of a copy of a layer 3, of a decoder 5, else 2."""
        kinds = {type(module).__name__ for module in modules}
        if kinds == {'MultiTaskEncoderDecoder'}:
            (network,) = modules
            return 2 + 5 * 3 + 3 * sum(len(layer) for layer in network.backbone.layers) - 1
        return 3 * len(modules) if kinds == {'Sequential'} else 5 if 'Head' in str(kinds) else 2

    def slowed(run, modules, inputs):
        call = plain(run, modules, inputs)
        exported.append(modules)

        def slow():
            call()
            now[0] += (own(modules) + 1) / 1e3

        return slow

    monkeypatch.setattr(exported_latency, 'runtime_call', slowed)
    monkeypatch.setitem(timing.CLOCKS, 'wall', lambda: now[0])
    steps = []
    table = exported_latency.measure_exported_latency(config, 0, 2, report=lambda: steps.append(1))
    assert len(steps) == len(exported) == exported_latency.count_parts(config) == 15
    shared = 2 + 3 * 3 + 3 * 5
    assert table.measured['whole_ms'] == {'shared': shared, 'all apart': shared + 6 * 3}
    assert table.measured['backend'] == 'onnxruntime'
    assert table.shared() == pytest.approx(shared, abs=0.01)
    assert table.all_apart() == pytest.approx(shared + 6 * 3, abs=0.01)
    for row in table.layers_ms:
        assert [row[1] - row[0], row[2] - row[1]] == pytest.approx([3, 3])
    table.check_fits(TASKS, config.encoder.to_config(), 3, (64, 64))
