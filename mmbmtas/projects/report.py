"""Reports what was found in a folder and what was chosen, for a terminal."""

from collections.abc import Iterator, Mapping

from .found import FoundTask
from .plan import Plan

_SHOWN = 3


def report(plan: Plan) -> str:
    """Report what is in the folder and what was chosen, for a terminal."""
    found = plan.found
    lines = [f'{found.root}: {len(found.images.files)} images ({found.images.pattern})']
    sizes = ', '.join(
        f'{height} x {width}' + f' ({count})' * (len(found.sizes) > 1)
        for (height, width), count in found.sizes.most_common(_SHOWN)
    )
    lines.append(f'  sizes (height x width): {sizes}{" and others" * (len(found.sizes) > _SHOWN)}')
    lines += _broken(found.unreadable, 'images')
    for task in plan.tasks:
        lines += ['', *_describe_task(task.found, task.notes)]
    if found.skipped:
        lines += ['', 'left out:']
        lines += [f'  {pattern}: {why}' for pattern, why in found.skipped.items()]
    lines += [
        '',
        f'{plan.device.name}: images at {plan.scale:g} of their size, crops of {plan.crop[0]} x '
        f'{plan.crop[1]}, batches of {plan.batch}, {plan.device.search_iters} iterations of '
        f'search and {plan.device.train_iters} of retraining',
        f'budget: {plan.budget / 1e6:.0f} million multiply-adds, halfway between shared '
        f'({plan.shared / 1e6:.0f}) and all apart ({plan.apart / 1e6:.0f})',
    ]
    return '\n'.join(lines)


def _describe_task(task: FoundTask, notes: list[str]) -> Iterator[str]:
    spec, facts = task.guess.spec, task.facts
    kinds = ', '.join(sorted(facts.kinds))
    yield f'task {task.name}: {spec["kind"]}, {len(task.group.files)} files ({task.group.pattern})'
    if facts.sample:
        numbers = f'{facts.lowest:g} to {facts.highest:g}'
        if facts.channels == 3:
            numbers = f'{len(facts.counts)} colours'
        if spec['kind'] == 'classes' and 'colours' not in spec:
            numbers = ', '.join(f'{number:g}' for number in facts.numbers[:12])
            numbers += ', ...' * (len(facts.numbers) > 12)
        yield f'  stored: {kinds}, {numbers}'
    for name, value in spec.items():
        if name != 'kind':
            why = task.guess.why.get(name)
            yield f'  {name} = {value!r:.70}' + (f'  (guessed: {why})' if why else '')
    for name, why in task.guess.why.items():
        if name not in spec or name == 'kind':
            yield f'  {name} (guessed: {why})'
    for note in [*task.guess.notes, *notes]:
        yield f'  {note}'
    if task.missing:
        yield f'  missing for {len(task.missing)} images, such as {task.missing[0]}'
    if task.wrong_size:
        yield (
            f'  WRONG: {len(task.wrong_size)} have another size than their image, '
            f'such as {task.wrong_size[0]}'
        )
    yield from _broken(facts.unreadable, 'labels')


def _broken(unreadable: Mapping[str, str], what: str) -> Iterator[str]:
    if unreadable:
        path, why = next(iter(unreadable.items()))
        yield f'  WRONG: {len(unreadable)} {what} cannot be read, such as {path}: {why}'
