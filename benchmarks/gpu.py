"""Run all tests and measurements that want a GPU, each step with its own limit.

    benchmarks/gpu.sh                  on a GPU, under nine minutes
    benchmarks/gpu.sh --cpu --tiny     a dry run

DIR/gpu.json has all that is known, after every step; DIR/log.txt has what the steps have printed.
The steps, the most valuable first: (a) the tests marked gpu; (b) searches at the paper's settings
beside a plain implementation, and (c) what a whole one takes; (d) memory of ResNet-50; (e)
inference, a latency table, and a network that is trained, exported and compared; (f) planted
problems too wide for a CPU.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from benchmarking.gpu_steps import ROOT, GpuStep, Setting, list_steps

from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.writing import written_beside

_TAIL = 1500
"""Characters of what a failed step has printed that go into the JSON."""
_SLOWER = 4.0
"""How many times a step's limit is that of a GPU where there is none."""
_LEAST = 10.0
"""Seconds without which no step begins."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '-o', '--out', type=Path, default=Path('out/gpu'), metavar='DIR', help='(out/gpu)'
    )
    parser.add_argument('--cpu', action='store_true', help='use no GPU')
    parser.add_argument('--tiny', action='store_true', help='small sizes, few rounds: a dry run')
    parser.add_argument(
        '--steps', nargs='+', metavar='NAME', help='only those whose names begin like this, as b'
    )
    parser.add_argument(
        '--seconds', type=float, default=530.0, help='for all steps together (default: 530)'
    )
    return parser.parse_args()


def main() -> int:
    """Run what the command line asks for; 1 if a step has failed."""
    args = parse_args()
    if args.cpu:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    elif not torch.cuda.is_available():
        raise InputError('torch sees no CUDA device here: --cpu --tiny is a dry run without one')
    end = time.monotonic() + args.seconds
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {'machine': describe_machine(args.cpu), 'tiny': args.tiny, 'steps': {}}
    with tempfile.TemporaryDirectory(prefix='mmbmtas-gpu-') as scratch:
        steps = choose(list_steps(Setting(Path(scratch), args.tiny, args.cpu)), args.steps)
        (args.out / 'log.txt').write_text('')
        for step in steps:
            states = {name: record['status'] for name, record in found['steps'].items()}
            if args.cpu:
                step = replace(step, limit=_SLOWER * step.limit)
            record = run_step(step, states, end - time.monotonic(), args.out / 'log.txt')
            found['steps'][step.name] = record
            found['c whole search, hours'] = whole_searches(found['steps'])
            with written_beside(args.out / 'gpu.json') as beside:
                beside.write_text(json.dumps(found, indent=2) + '\n')
            print(f'{step.name}: {record["status"]}, {record["seconds"]:.0f} s', flush=True)
    print(f'Wrote {args.out / "gpu.json"}')
    return int(any(record['status'] != 'done' for record in found['steps'].values()))


def choose(steps: list[GpuStep], names: list[str] | None) -> list[GpuStep]:
    """Return the steps that are asked for, and those that they need.

    Raises:
        InputError: A name is no step's.
    """
    if names is None:
        return steps
    for name in names:
        if not any(step.name.startswith(name) for step in steps):
            raise InputError(f'--steps {name}: expected some of {[step.name for step in steps]}')
    wanted: set[str] = set()
    for step in reversed(steps):
        if step.name in wanted or step.name.startswith(tuple(names)):
            wanted |= {step.name, *step.needs}
    return [step for step in steps if step.name in wanted]


def run_step(step: GpuStep, states: dict[str, str], left: float, log: Path) -> dict[str, Any]:
    """Run a step until its limit.

    Args:
        step: The step.
        states: How the steps before have ended.
        left: Seconds that are left for all steps.
        log: Where to append what it prints.

    Returns:
        ``status`` (``done``, ``failed``, ``out of time``, ``left out``), ``seconds``, ``command``,
        and the ``result`` or what was ``printed`` last.
    """
    words = [str(word) for word in step.command]
    record: dict[str, Any] = {'status': 'left out', 'seconds': 0.0, 'command': ' '.join(words)}
    if lost := [name for name in step.needs if states.get(name) != 'done']:
        return {**record, 'printed': f'it needs {lost[0]}'}
    if left < _LEAST:
        return {**record, 'printed': f'{left:.0f} s were left'}
    start = time.monotonic()
    code, out, printed = call([sys.executable, *words], min(step.limit, left))
    record['seconds'] = round(time.monotonic() - start, 1)
    with log.open('a') as file:
        file.write(f'== {step.name}: {record["command"]}\n{printed}{out}\n')
    last = (printed + out)[-_TAIL:]
    if code != 0:
        status = 'out of time' if code is None else 'failed'
        with contextlib.suppress(OSError, ValueError):  # what it left until then
            record['result'] = step.read(out)
        return {**record, 'status': status, 'printed': last}
    try:
        return {**record, 'status': 'done', 'result': step.read(out)}
    except (OSError, ValueError, KeyError) as error:
        return {**record, 'status': 'failed', 'printed': f'{type(error).__name__}: {error}; {last}'}


def call(words: list[str], seconds: float) -> tuple[int | None, str, str]:
    """Run a command line, with all that it starts, until its limit.

    Returns:
        Its exit status, None if it was ended; what it wrote to standard output; and to the other.
    """
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as printed:
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=out, stderr=printed, start_new_session=True
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        texts = []
        for file in (out, printed):
            file.seek(0)
            texts.append(file.read())
        return code, texts[0], texts[1]


def whole_searches(steps: dict[str, Any]) -> dict[str, Any]:
    """Gather the hours of whole searches, as the steps of (b) have found them."""
    return {
        name.removeprefix('b search '): record['result']['whole_search']['hours']
        for name, record in steps.items()
        if name.startswith('b ') and (record.get('result') or {}).get('whole_search')
    }


def describe_machine(cpu: bool) -> dict[str, Any]:
    """Say what all is measured on."""
    about: dict[str, Any] = {'torch': torch.__version__, 'cores': os.cpu_count(), 'device': 'CPU'}
    if not cpu:
        properties = torch.cuda.get_device_properties(0)
        about |= {'device': properties.name, 'bytes': properties.total_memory}
        about |= {'cuda': torch.version.cuda, 'cudnn': torch.backends.cudnn.version()}
    return about


if __name__ == '__main__':
    with one_line_errors():
        sys.exit(main())
