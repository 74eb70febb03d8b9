"""The command line that measures a latency table, and a search that takes it."""

from pathlib import Path

import pytest

from mmbmtas.cost import LatencyTable

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'search_scenes.py'


def measure(tool, *words):
    tool('analysis_tools/measure_latency.py', CONFIG, '-o', 'l.json', '--device', 'cpu', *words)
    return LatencyTable.load('l.json')


def test_writes_and_prints_the_table(tool, capsys):
    words = '--warmup 0 --repeats 1 --fuse-conv-bn --cfg-options model.cost_shape=(32,48)'
    table = measure(tool, *words.split())
    assert table.shape == (32, 48)
    assert table.measured['fuse_conv_bn']
    out = capsys.readouterr().out
    assert f'{table.layers_ms[17][4]:.3f}' in out
    assert f'shared {table.shared():.3f}, all apart {table.all_apart():.3f}' in out


def test_needs_a_round(tool, capsys):
    with pytest.raises(SystemExit):
        measure(tool, '--repeats', 0)
    assert 'error: --repeats must be at least 1' in capsys.readouterr().err


def test_what_has_no_effect_in_onnx_runtime(tool, capsys):
    for words, message in (
        (['--fuse-conv-bn'], '--fuse-conv-bn has no effect with --backend onnxruntime'),
        (['--device', 'cuda'], '--backend onnxruntime measures on the CPU'),
    ):
        with pytest.raises(SystemExit):
            measure(tool, '--backend', 'onnxruntime', *words)
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool('analysis_tools/measure_latency.py', 'network.onnx')
    assert 'Expected the config, with --backend onnxruntime' in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_by_the_table(tool, scenes_roots, capsys):
    table = measure(tool, '--warmup', 1, '--repeats', 5)
    target = (table.shared() + table.all_apart()) / 2
    options = [
        f'data_root={scenes_roots["pascal"]}',
        'total_batch_size=2',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'weight_iters=6',
        'train_cfg.warmup_iters=2',
        'model.resource_loss.latency=l.json',
        f'model.resource_loss.target_latency_ms={target}',
    ]
    tool('train.py', CONFIG, '--work-dir', 'work', '--cfg-options', *options)
    out = capsys.readouterr().out
    assert 'ms by the latency table' in out
