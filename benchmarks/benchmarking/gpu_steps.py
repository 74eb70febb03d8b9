"""The steps of ``benchmarks/gpu.py``: what each runs, for how long at most, and what it leaves."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
Words = Sequence[str | Path]


@dataclass(frozen=True)
class Setting:
    """How all steps run.

    Attributes:
        folder: Where steps leave what later ones read.
        tiny: Whether sizes and rounds are those of a dry run.
        cpu: Whether no GPU is used.
    """

    folder: Path
    tiny: bool
    cpu: bool


@dataclass(frozen=True)
class GpuStep:
    """One command line.

    Attributes:
        name: Its name, which begins with the letter of its group.
        limit: Seconds after which it is ended.
        command: Words after the interpreter's name.
        read: Gives what it has measured, of what it has printed.
        needs: Steps without which it has nothing to run on.
    """

    name: str
    limit: float
    command: Words
    read: Callable[[str], Any] = json.loads
    needs: tuple[str, ...] = ()


def list_steps(setting: Setting) -> list[GpuStep]:
    """List all steps, the most valuable first."""
    folder = setting.folder
    scenes, table = folder / 'scenes', folder / 'latency.json'
    count = '4' if setting.tiny else '64'
    return [
        *_tests(setting),
        GpuStep(
            'scenes',
            60,
            [
                *('tools/dataset_converters/synthetic_scenes.py', scenes, '--layout', 'pascal'),
                *('--train', count, '--val', '2', '--seed', '0'),
            ],
            _nothing,
        ),
        *_searches(setting, scenes),
        GpuStep('d memory r50', 45, _memory(setting, 'False')),
        GpuStep('d memory r50 with_cp', 45, _memory(setting, 'True')),
        GpuStep('e inference', 45, [*_infer(setting), '--json']),
        GpuStep(
            'e latency table',
            45,
            [
                *('tools/analysis_tools/measure_latency.py', _config(setting, 'search')),
                *('-o', table, *_rounds(setting, '15')),
                *(('--cfg-options', 'model.cost_shape=[64,64]') if setting.tiny else ()),
            ],
            lambda _: json.loads(table.read_text()),
        ),
        GpuStep(
            'e inference by the table',
            45,
            [*_infer(setting), '--json', '--latency', table],
            needs=('e latency table',),
        ),
        *_export(setting, scenes),
        *_planted(setting),
        *_photographs(setting),
    ]


def _tests(setting: Setting) -> list[GpuStep]:
    report = setting.folder / 'tests.xml'
    files = ['tests/test_engine/test_gpu_runs.py'] if setting.tiny else ['tests']
    parallel = importlib.util.find_spec('xdist') and not setting.cpu
    return [
        GpuStep(
            'a tests',
            150,
            [
                *('-m', 'pytest', '-m', 'gpu', '-p', 'no:cacheprovider', f'--junitxml={report}'),
                '--continue-on-collection-errors',  # where an extra is not installed
                *(('-n', '4') if parallel else ()),
                *files,
            ],
            lambda _: _count_tests(report),
        )
    ]


def _searches(setting: Setting, scenes: Path) -> list[GpuStep]:
    """Iterations of searches at the paper's settings, and what a whole one takes."""
    words = ['benchmarks/benchmark.py', 'search']
    small = ['--shape', '64', '64', '--batch-size', '2'] if setting.tiny else []
    shared = [*small, *_rounds(setting, '5'), '--json']
    pascal = _config(setting, 'search')
    # With images at hand, the share of time that waits for them is measured too.
    data = ['--cfg-options', f'data_root={scenes}', *_narrow(setting)]
    own = ['--cfg-options', *_narrow(setting)] if setting.tiny else []
    nyud = 'configs/search_nyud.py'
    graphs = GpuStep('b search pascal graphs', 60, [*words, pascal, *shared, '--graphs', *own])
    return [
        GpuStep('b search pascal', 90, [*words, pascal, *shared, *data], needs=('scenes',)),
        GpuStep('b search nyud', 90, [*words, nyud, *shared, *own]),
        *([] if setting.cpu else [graphs]),  # which are of GPUs
        GpuStep('b search pascal amp', 60, [*words, pascal, *shared, '--amp', *own]),
        GpuStep('b search nyud amp', 60, [*words, nyud, *shared, '--amp', *own]),
        GpuStep(
            'b search pascal channels last',
            60,
            [*words, pascal, *shared, '--channels-last', '--amp', *own],
        ),
        GpuStep(
            'b search pascal compiled',
            100,
            [
                *(*words, pascal, *shared, '--phases', 'weights'),
                *('--compile', 'eager' if setting.tiny else 'inductor', *own),
            ],
        ),
    ]


def _memory(setting: Setting, with_cp: str) -> Words:
    small = ['--shape', '64', '64', '--batch-size', '2'] if setting.tiny else []
    options = ['--cfg-options', f'model.backbone.with_cp={with_cp}']
    options += ['tasks=[semseg]'] if setting.tiny else []
    config = 'configs/search_pascal_r50.py'
    return ['benchmarks/benchmark.py', 'memory', config, *small, '--json', *options]


def _infer(setting: Setting) -> Words:
    small = ['--shape', '64', '64'] if setting.tiny else []
    config = _config(setting, 'branched')
    return ['benchmarks/benchmark.py', 'infer', config, *small, *_rounds(setting, '30')]


def _export(setting: Setting, scenes: Path) -> list[GpuStep]:
    """A short training by the tool itself, then its network as an ONNX file, compared."""
    folder = setting.folder
    config, trained = 'configs/branched_scenes.py', folder / 'trained'
    options = [
        *(f'data_root={scenes}', 'total_batch_size=2', 'max_iters=4', 'train_cfg.val_interval=4'),
        'default_hooks.checkpoint.interval=4',
        *(f'{name}_dataloader.num_workers=0' for name in ('train', 'val')),
        *(f'{name}_dataloader.persistent_workers=False' for name in ('train', 'val')),
    ]
    file = folder / 'network.onnx'
    return [
        GpuStep(
            'e training',
            60,
            ['tools/train.py', config, '--work-dir', trained, '--cfg-options', *options],
            _nothing,
            ('scenes',),
        ),
        GpuStep(
            'e export',
            60,
            ['tools/export_onnx.py', config, trained / 'iter_4.pth', '-o', file, '--verify'],
            lambda printed: {'printed': printed[-2000:], 'providers': _providers()},
            ('e training',),
        ),
    ]


def _planted(setting: Setting) -> list[GpuStep]:
    """Planted problems too wide for a CPU, several processes side by side; what stands counts."""
    folder = setting.folder / 'planted'
    methods = ['similarity'] if setting.tiny else ['similarity', 'gradient']
    tree, width, jobs = ('ab/ab', '2', '1') if setting.tiny else ('abcd/ab|cd', '16', '8')
    return [
        GpuStep(
            'f planted',
            120,
            [
                *('tools/analysis_tools/planted.py', '-o', folder, '--trees', tree),
                *('--width', width, '--jobs', jobs, '--no-regret', '--methods', *methods),
                *('--seeds', *map(str, range(1 if setting.tiny else 8))),
            ],
            lambda _: (folder / 'results.csv').read_text(),
        )
    ]


def _photographs(setting: Setting) -> list[GpuStep]:
    """The comparison on half-size NYUD-v2, whole images, as far as minutes allow.

    The photographs lie in the checkout's ``data/NYUD_MT_half``; a dry run takes scenes.
    """
    out, spec = setting.folder / 'nyud', ROOT / 'configs' / 'compare' / 'nyud_half_gpu.py'
    data = ROOT / 'data' / 'NYUD_MT_half'
    steps: list[GpuStep] = []
    if setting.tiny:
        data = setting.folder / 'scenes_nyud'
        words: Words = ['tools/dataset_converters/synthetic_scenes.py', data, '--layout', 'nyud']
        steps = [GpuStep('f scenes', 60, [*words, '--train', '12', '--val', '1'], _nothing)]
        small = setting.folder / 'nyud_tiny.py'
        small.write_text(_TINY_COMPARISON.format(base=str(spec)))
        spec = small
    return [
        *steps,
        GpuStep(
            'f nyud',
            150,
            [
                *('tools/compare.py', spec, '-o', out, '--latency', 'never'),
                *('--jobs', '1' if setting.tiny else '8'),
                *('--cfg-options', f'data_root={data}', 'seeds=[0]'),
            ],
            lambda _: (out / 'results.csv').read_text(),
            tuple(step.name for step in steps),
        ),
    ]


_TINY_COMPARISON = """
_base_ = {base!r}
models = dict(_delete_=True, shared=dict(kind='shared'), similarity=dict(
    kind='searched', search='configs/nyud_half/similarity.py'))
cfg_options = {{
    'total_batch_size': 2,
    'train_dataloader.dataset.pipeline.3.size': (64, 64),
    'train_dataloader.dataset.pipeline.4.size': (64, 64),
}}
search_options = dict(_delete_=True, weight_iters=2)
train_options = {{'_delete_': True, 'max_iters': 2, 'train_cfg.val_begin': 10**9}}
train_options['test_dataloader.dataset.indices'] = [0]
train_options['val_dataloader.dataset.indices'] = [0]
"""


def _config(setting: Setting, name: str) -> str:
    return f'configs/{name}_{"scenes" if setting.tiny else "pascal"}.py'


def _rounds(setting: Setting, repeats: str) -> Words:
    return ['--warmup', '0', '--repeats', '2'] if setting.tiny else ['--repeats', repeats]


def _narrow(setting: Setting) -> Words:
    small = ['tasks=[semseg]', 'model.backbone.encoder.widen_factor=0.25']
    return small if setting.tiny else []


def _nothing(printed: str) -> None:
    """Report nothing: the step only prepares."""


def _count_tests(report: Path) -> dict[str, Any]:
    """Read what pytest has noted: counts, and the names of what failed."""
    (suite,) = ElementTree.parse(report).getroot().iter('testsuite')
    counts = {key: int(suite.get(key, 0)) for key in ('tests', 'failures', 'errors', 'skipped')}
    broken = [
        f'{case.get("classname")}.{case.get("name")}'
        for case in suite.iter('testcase')
        if case.find('failure') is not None or case.find('error') is not None
    ]
    return {**counts, 'broken': broken}


def _providers() -> list[str] | None:
    """List what ONNX Runtime can run on, if it is there."""
    if importlib.util.find_spec('onnxruntime') is None:
        return None
    import onnxruntime

    return onnxruntime.get_available_providers()
