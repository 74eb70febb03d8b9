"""Print the multiply-adds and parameters of the networks of a multi-task config.

Every tree lies between the rows shared, all apart and single; the row network is the network of the
config, which the config of a search does not have. For networks of paths, each domain's path has a
row. All paths together are counted in three ways: sum (an image for each), prefix (the same image
for all, so that equal beginnings count once) and union (each node once: the parameters). `madds`
counts multiply-adds; `madds_paper` follows the paper's tables (half of all operations).
"""

import argparse
import contextlib
import json
import sys
from typing import Any

import torch
from mmengine.registry import init_default_scope

from mmbmtas import launch
from mmbmtas.cost import ModuleCost
from mmbmtas.errors import InputError
from mmbmtas.launch.errors import one_line_errors
from mmbmtas.models.segmentors import MultiTaskEncoderDecoder, SearchEncoderDecoder
from mmbmtas.paths import DomainEncoderDecoder, PathSearchEncoderDecoder
from mmbmtas.registry import MODELS
from mmbmtas.writing import file_place, write_json

_UNITS = ('madds', 'params')
NETWORKS = ('network', 'shared', 'all_apart', 'single')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    launch.add_common_arguments(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="height and width of the input in pixels; by default the config's cost_shape",
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object, nothing else')
    parser.add_argument('-o', '--out', type=file_place, help='also write this object to a file')
    return parser.parse_args()


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Build the model and measure its parts."""
    cfg = launch.prepare_config(launch.load_config(args))
    init_default_scope(cfg.get('default_scope', 'mmbmtas'))
    with torch.device('meta'):  # shapes are all that counts
        model = MODELS.build(cfg.model)
    if not isinstance(model, MultiTaskEncoderDecoder):
        raise InputError(
            f'{args.config} is for a {type(model).__name__}: name a config of a multi-task network'
        )
    shape = tuple(args.shape or model.cost_shape)
    if isinstance(model, DomainEncoderDecoder):
        return measure_domains(model, shape)
    cost = model.measure_cost(shape)
    searched = isinstance(model, SearchEncoderDecoder)
    networks = {
        'network': None if searched else model.measure_network(shape),
        **{name: getattr(cost, name)() for name in NETWORKS[1:]},
    }
    return {
        'shape': [*shape],
        'tasks': [*model.tasks],
        'layers': [*cost.layer_madds],
        **{name: _figures(network) for name, network in networks.items()},
    }


def measure_domains(model: DomainEncoderDecoder, shape: tuple[int, int]) -> dict[str, Any]:
    """Measure a network of paths, or the smallest and the largest path that a search can find."""
    cost = model.measure_paths(shape)
    result: dict[str, Any] = {
        'shape': [*shape],
        'domains': {d: [*t] for d, t in model.domains.items()},
    }
    if isinstance(model, PathSearchEncoderDecoder):
        counts = {
            unit: [[getattr(c, unit) for c in layer] for layer in cost.candidates]
            for unit in _UNITS
        }
        for name, choose in (('smallest', min), ('largest', max)):
            result[name] = {
                domain: {
                    unit: getattr(cost.fixed_of(domain), unit) + sum(map(choose, counts[unit]))
                    for unit in _UNITS
                }
                for domain in model.domains
            }
        return result
    found = {unit: cost.paths(model.backbone.architecture, unit) for unit in _UNITS}
    result['per_domain'] = {
        domain: {unit: int(found[unit].per_domain[index]) for unit in _UNITS}
        for index, domain in enumerate(model.domains)
    }
    for name in ('sum', 'prefix', 'union'):
        result[name] = {unit: int(getattr(found[unit], name)) for unit in _UNITS}
    return result


def _figures(cost: ModuleCost | None) -> dict[str, int | float] | None:
    """Return the figures of one network."""
    if cost is None:
        return None
    return {'madds': cost.madds, 'params': cost.params, 'madds_paper': cost.madds_paper}


def format_domains(result: dict[str, Any]) -> str:
    """Lay the figures of paths out as a table."""
    height, width = result['shape']
    rows: dict[str, dict[str, int]] = {}
    for name in ('smallest', 'largest'):
        rows |= {f'{d}, {name} path': found for d, found in result.get(name, {}).items()}
    rows |= result.get('per_domain', {})
    rows |= {name: result[name] for name in ('sum', 'prefix', 'union') if name in result}
    first = max(map(len, rows))
    lines = [
        f'Input {height} x {width}, domains {", ".join(result["domains"])}; multiply-adds in '
        'millions',
        f'{"":{first}}{"MAdds":>12}{"params (M)":>13}',
    ]
    lines += [
        f'{name:{first}}{found["madds"] / 1e6:12.3f}{found["params"] / 1e6:13.3f}'
        for name, found in rows.items()
    ]
    return '\n'.join(lines)


def format_table(result: dict[str, Any]) -> str:
    """Lay the figures out as a table."""
    height, width = result['shape']
    unit, word = (1e9, 'billions') if result['shared']['madds'] >= 1e9 else (1e6, 'millions')
    lines = [
        f'Input {height} x {width}, tasks {", ".join(result["tasks"])}; multiply-adds in {word}',
        f'{"":10}{"MAdds":>12}{"MAdds (paper)":>16}{"params (M)":>13}',
    ]
    for name in NETWORKS:
        if result[name] is not None:
            figures = result[name]
            lines.append(
                f'{name.replace("_", " "):10}{figures["madds"] / unit:12.3f}'
                f'{figures["madds_paper"] / unit:16.3f}{figures["params"] / 1e6:13.3f}'
            )
    layers = ' '.join(f'{madds / unit:.3f}' for madds in result['layers'])
    return '\n'.join([*lines, f'One copy of each layer, context module last: {layers}'])


def main() -> None:
    """Measure as the command line says."""
    args = parse_args()
    with contextlib.redirect_stdout(sys.stderr):  # whatever building a model prints
        result = measure(args)
    if args.out:
        write_json(result, args.out)
    lay_out = format_domains if 'domains' in result else format_table
    print(json.dumps(result) if args.json else lay_out(result))


if __name__ == '__main__':
    with one_line_errors():
        main()
