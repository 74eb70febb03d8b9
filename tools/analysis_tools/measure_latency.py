"""Measure the time of a multi-task network's parts on this device, for a search by latency.

Writes milliseconds for the stem, for 1, 2, ... copies of each encoder layer, and for each decoder,
at the config's cost_shape, one image at a time. A search can use the file instead of multiply-adds:
--cfg-options model.resource_loss.latency=FILE.json

Of a config of paths it writes milliseconds of each candidate of each searched layer:
--cfg-options train_cfg.latency=FILE.json train_cfg.target_latency_ms=MS
--backend onnxruntime exports each part and measures it in ONNX Runtime on the CPU, for a network
that will run there.
"""

import argparse

from mmbmtas.comparison.exported_latency import count_parts, measure_exported_latency
from mmbmtas.comparison.latency import measure_latency
from mmbmtas.comparison.path_latency import measure_path_latency
from mmbmtas.cost import LatencyTable, PathLatencyTable
from mmbmtas.cost.timing import CLOCKS
from mmbmtas.deploy import is_exported
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.launch.overrides import add_cfg_options
from mmbmtas.launch.path_config import PathConfig, has_paths, read_path_config
from mmbmtas.launch.tree_config import TreeConfig, read_tree_config
from mmbmtas.models.inference import choose_device
from mmbmtas.progress import Progress
from mmbmtas.writing import file_place


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a search or of a network of trees or paths')
    parser.add_argument('-o', '--out', type=file_place, default='latency.json', metavar='FILE.json')
    parser.add_argument(
        '--backend',
        choices=['torch', 'onnxruntime'],
        default='torch',
        help='what will run the network: torch, or ONNX Runtime on the CPU',
    )
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument(
        '--warmup', type=int, default=2, help='rounds that are not counted, before the others'
    )
    parser.add_argument('--repeats', type=int, default=15, help='rounds that are counted')
    parser.add_argument(
        '--fuse-conv-bn',
        action='store_true',
        help='measure the network as tools/infer.py --fuse-conv-bn runs it',
    )
    parser.add_argument(
        '--channels-last',
        action='store_true',
        help='measure the network as tools/infer.py --channels-last runs it',
    )
    parser.add_argument(
        '--clock',
        choices=[*CLOCKS],
        default='wall',
        help='what to time with: cpu counts the seconds of all threads, which with one thread '
        '(OMP_NUM_THREADS=1) leaves out what else the machine does',
    )
    add_cfg_options(parser)
    return parser.parse_args()


def format_table(table: LatencyTable) -> str:
    """Lay the times out, a layer a line."""
    height, width = table.shape
    device = (table.measured or {})['device']
    counts = range(1, len(table.tasks) + 1)
    lines = [
        f'{device}, 1 x 3 x {height} x {width}; milliseconds',
        f'{"copies":12}' + ''.join(f'{count:9}' for count in counts),
        f'{"stem":12}{table.stem_ms:9.3f}',
    ]
    for index, row in enumerate(table.layers_ms):
        lines.append(f'{f"layer {index}":12}' + ''.join(f'{ms:9.3f}' for ms in row))
    lines += [f'{task[:12]:12}{ms:9.3f}' for task, ms in table.decoders_ms.items()]
    lines.append(f'Network: shared {table.shared():.3f}, all apart {table.all_apart():.3f}')
    return '\n'.join(lines)


def format_path_table(table: PathLatencyTable) -> str:
    """Lay the times out: of each layer the fastest and the slowest candidate."""
    height, width = table.shape
    lines = [
        f'{(table.measured or {})["device"]}, 1 x 3 x {height} x {width}; milliseconds',
        f'{"candidate":12}{"fastest":>9}{"slowest":>9}',
        f'{"stem":12}{table.stem_ms:9.3f}',
    ]
    for index, row in enumerate(table.candidates_ms):
        lines.append(f'{f"layer {index}":12}{min(row):9.3f}{max(row):9.3f}')
    lines.append(f'{"last layer":12}{table.context_ms:9.3f}')
    lines += [f'{task[:12]:12}{ms:9.3f}' for task, ms in table.decoders_ms.items()]
    ends = [sum(map(pick, table.candidates_ms)) for pick in (min, max)]
    for domain in table.domains:
        low, high = (table.fixed_of(domain) + nodes for nodes in ends)
        lines.append(f'Paths of {domain}: {low:.3f} to {high:.3f}')
    return '\n'.join(lines)


def measure(args: argparse.Namespace, config: TreeConfig) -> LatencyTable:
    """Measure in torch or in ONNX Runtime, with a bar.

    Raises:
        InputError: An option has no effect in ONNX Runtime.
    """
    if args.backend == 'torch':
        device = choose_device(args.device)
        rounds = (args.warmup + args.repeats) * len(config.tasks)
        with Progress(rounds, 'measuring rounds') as progress:
            return measure_latency(
                config,
                device,
                args.warmup,
                args.repeats,
                args.fuse_conv_bn,
                args.channels_last,
                args.clock,
                report=progress.advance,
            )
    if args.device not in (None, 'cpu'):
        raise InputError(f'--device {args.device}: --backend onnxruntime measures on the CPU')
    for name in ('fuse_conv_bn', 'channels_last'):
        if getattr(args, name):
            raise InputError(
                f'--{name.replace("_", "-")} has no effect with --backend onnxruntime, which '
                'folds and lays out as it likes: leave it out'
            )
    with Progress(count_parts(config), 'exporting parts') as progress:
        return measure_exported_latency(
            config, args.warmup, args.repeats, args.clock, progress.advance
        )


def measure_paths(args: argparse.Namespace, config: PathConfig) -> PathLatencyTable:
    """Measure the candidates of paths, with a bar.

    Raises:
        InputError: They are to be measured in ONNX Runtime.
    """
    if args.backend != 'torch':
        raise InputError(
            f'--backend {args.backend}: candidates of paths are measured in torch, leave it out'
        )
    rounds = args.warmup + args.repeats
    with Progress(rounds, 'measuring rounds') as progress:
        return measure_path_latency(
            config,
            choose_device(args.device),
            args.warmup,
            args.repeats,
            args.fuse_conv_bn,
            args.channels_last,
            args.clock,
            report=progress.advance,
        )


def main() -> None:
    """Measure as the command line says."""
    args = parse_args()
    if args.repeats < 1 or args.warmup < 0:
        raise InputError('--repeats must be at least 1, --warmup 0')
    if is_exported(args.config):
        raise InputError(
            f'{args.config}: an exported network cannot be taken apart. Expected the config, with '
            '--backend onnxruntime; benchmarks/benchmark.py infer times the file as a whole'
        )
    table: LatencyTable | PathLatencyTable
    if has_paths(args.config, args.cfg_options):
        table = measure_paths(args, read_path_config(args.config, args.cfg_options))
        text = format_path_table(table)
    else:
        table = measure(args, read_tree_config(args.config, args.cfg_options))
        text = format_table(table)
    table.save(args.out)
    print(text)
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    with one_line_errors():
        main()
