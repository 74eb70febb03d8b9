"""Writes what was found and chosen as the files of a project."""

import csv
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbmtas.datasets.folder_files import IMAGE_ENDINGS, Pattern, match_files
from mmbmtas.datasets.folder_settings import build_labels
from mmbmtas.errors import InputError
from mmbmtas.writing import written_beside

from .found import Found, FoundTask
from .plan import Plan

_WIDTH = 100


def needs_list(found: Found) -> bool:
    """Tell whether patterns of names do not say which files belong together."""
    if found.images.has_splits:
        return True
    specs = {task.name: label_settings(task) for task in found.tasks}
    labels = build_labels(specs, found.root)
    patterns = {name: Pattern(label.files, label.ENDINGS) for name, label in labels.items()}
    try:
        samples = match_files(found.root, Pattern(found.images.pattern, IMAGE_ENDINGS), patterns)
    except InputError:
        return True
    matched = {sample.image: sample.labels for sample in samples}
    return matched != {
        path: {task.name: task.group.files[key] for task in found.tasks if key in task.group.files}
        for key, path in found.images.files.items()
    }


def label_settings(task: FoundTask) -> dict[str, Any]:
    """The settings of a task in ``FolderMT``."""
    spec = dict(task.guess.spec)
    return {'kind': spec.pop('kind'), 'files': task.group.pattern, **spec}


def write_list(found: Found, path: Path) -> None:
    """Write the images, their labels and their splits as a CSV list for ``FolderMT``."""
    names = [task.name for task in found.tasks]
    columns = ['image', *names, *(['split'] if found.images.has_splits else [])]
    with written_beside(path) as beside, open(beside, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for key, image in sorted(found.images.files.items()):
            row = {task.name: task.group.files.get(key, '') for task in found.tasks}
            split = {'split': key[0]} if found.images.has_splits else {}
            writer.writerow({'image': image, **row, **split})


def dataset_settings(plan: Plan, files: str | None) -> dict[str, Any]:
    """The data set of the project, without the folder and the labels.

    Args:
        plan: The plan.
        files: The list of files, if there is one.
    """
    place = {'images': plan.found.images.pattern} if files is None else {'files': files}
    scales = {'cached_scales': [s for s in (plan.scale, plan.search_scale) if s != 1]}
    return {'type': 'FolderMT', **place, 'allow_missing_labels': plan.allow_missing, **scales}


def write_project(plan: Plan, folder: str | Path, search: str = 'similarity') -> list[Path]:
    """Write the files of a project.

    Args:
        plan: What they say.
        folder: Where to; it must not hold a project yet.
        search: ``similarity`` or ``gradient`` (the paper's).

    Returns:
        The files.

    Raises:
        InputError: A file is there already.
    """
    folder = Path(folder)
    texts = project_texts(plan, folder, search)
    taken = [name for name in texts if (folder / name).exists()]
    if taken:
        raise InputError(
            f'{folder / taken[0]} exists: choose another folder (-o), or remove the project that '
            'is there'
        )
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts.items():
        with written_beside(folder / name) as beside:
            beside.write_text(text, encoding='utf-8')
        paths.append(folder / name)
    if needs_list(plan.found):
        paths.append(folder / 'files.csv')
        write_list(plan.found, paths[-1])
    return paths


def project_texts(plan: Plan, folder: str | Path, search: str = 'similarity') -> dict[str, str]:
    """The files of a project, by name.

    Args:
        plan: What they say.
        folder: Where they will lie, for the commands in them.
        search: As for :func:`write_project`.
    """
    place = shlex.quote(str(folder))
    return {
        'project.py': _project(plan),
        'search.py': _search(plan, place, search),
        'branched.py': _branched(plan, place),
        'README.md': _readme(plan, place),
    }


def _project(plan: Plan) -> str:
    found = plan.found
    files = '{{ fileDirname }}/files.csv' if needs_list(found) else None
    labels = ''.join(_label_code(task.found, found) for task in plan.tasks)
    data = dataset_settings(plan, files)
    heads = ''.join(
        f'{" " * 8}{task.found.name}=dict(\n{" " * 12}**head,\n'
        f'{_entries(task.head, 12)}{" " * 8}),\n'
        for task in plan.tasks
    )
    metrics = ''.join(f'    {_code(task.metric, 4)},\n' for task in plan.tasks)
    resize, view = '', ''
    if plan.scale != 1:
        resize = f"    dict(type='ResizeSample', scale_factor={plan.scale}),\n"
        view = f"    dict(type='ViewImage', scale_factor={plan.scale}),\n"
    return f"""# The data, tasks, decoders and scores of a project, for search.py and branched.py.
# Written by `mmbmtas new-project`. What is marked as guessed may be wrong: correct it here.
_base_ = 'mmbmtas::bmtas/_base_/models/{plan.device.base}'  # the encoder

data_root = {str(found.root.resolve())!r}
labels = dict(
{labels})
data = dict(
{_entries(data, 4)}    labels=labels,
    # Every fifth image is for validation. To choose the images yourself:
    # splits=dict(train='train.txt', val='val.txt'), with an image a line.
)

head = {_code(dict(plan.device.head), 0)}
model = dict(
    decode_heads=dict(
        _delete_=True,
{heads}    ),
)

load = [dict(type='LoadSampleImage'), dict(type='LoadFolderLabels')]
augment = [
    dict(type='RandomFlipSample', prob=0.5),
    dict(type='PackMultiTaskInputs'),
]
train_pipeline = [
    *load,
{resize}    dict(type='RandomScale', scales=(0.75, 1.0, 1.25, 1.5)),
    dict(type='PadToSize', size={plan.crop}),
    dict(type='RandomCropSample', size={plan.crop}),
    *augment,
]
# Predictions are brought back to the size of the image, and scored there.
test_pipeline = [
    *load,
{view}    dict(type='PadToSize', divisor=16, pad_labels=False),
    dict(type='PackMultiTaskInputs'),
]
train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='mmbmtas.collate_in_block'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(split='train', pipeline=train_pipeline, **data),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(split='val', pipeline=test_pipeline, test_mode=True, **data),
)
test_dataloader = val_dataloader

val_evaluator = [
{metrics}]
test_evaluator = val_evaluator
"""


def _label_code(task: FoundTask, found: Found) -> str:
    """A task's labels as code, with a comment for what was guessed."""
    spec = label_settings(task)
    why = dict(task.guess.why)
    from_file = found.names_file and 'classes' not in why and 'colours' not in spec
    if spec['kind'] == 'classes' and from_file:
        spec['classes'] = found.names_file
    lines = [f'    {task.name}=dict(\n']
    for name, value in spec.items():
        comment = f'  # guessed: {why.pop(name)}' if name in why else ''
        lines.append(f'        {name}={_code(value, 8)},{comment}\n')
    lines += [f'        # guessed: {name}: {reason}\n' for name, reason in why.items()]
    return ''.join([*lines, '    ),\n'])


def _search(plan: Plan, folder: str, search: str) -> str:
    crop = plan.search_crop
    total = plan.device.search_iters
    if search == 'similarity':
        what = "by the similarity of the tasks' features (docs/method.md)"
        settings = f"""weight_iters = {total}
train_cfg = dict(
    _delete_=True,
    type='SimilaritySearchLoop',
    arch_fraction={plan.arch_fraction},
    shared_fraction=0.4,  # first, all tasks train one network; then each has a copy
)
param_scheduler = dict(weights=[])
custom_hooks = [
    dict(type='ArchitectureLoggerHook', interval={total}),
    dict(type='ArchitectureExportHook'),
    dict(type='CollapseHook'),
]
"""
        loss = "type='ResourceLoss', weight=1.0"
    else:
        what = "by the paper's search, which learns an architecture distribution by gradient"
        settings = f"""weight_iters = {total}
train_cfg = dict(warmup_iters={total * 2 // 5}, arch_fraction={1 - plan.arch_fraction:g})
param_scheduler = dict(weights=[])
"""
        loss = "type='ResourceLoss', weight=1e3, budgeted='argmax'"
    return f"""# Search for the tree {what}.
#
#   mmbmtas search {folder}/search.py
#
# Writes work_dirs/search/architecture.json beside this file.
_base_ = ['./project.py', 'mmbmtas::bmtas/_base_/schedules/search.py']

work_dir = '{{{{ fileDirname }}}}/work_dirs/search'
pretrained = None  # ImageNet weights: a file, or torchvision://mobilenet_v2 for the full width
total_batch_size = {plan.batch}
cost_shape = {plan.crop}
{settings}
model = dict(
    type='SearchEncoderDecoder',
    backbone=dict(type='BranchedSupernet'),
    resource_loss=dict(
        {loss},
{_budget(plan)}    ),
)
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-2)),
    arch_params=dict(optimizer=dict(lr=0.1)),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=100))

# The search sees images at half the size, and passes over its two splits in turn.
train_pipeline = [
    *_base_.load,
    dict(type='ResizeSample', scale_factor={plan.search_scale}),
    dict(type='RandomScale', scales=(0.75, 1.0, 1.25, 1.5)),
    dict(type='PadToSize', size={crop}),
    dict(type='RandomCropSample', size={crop}),
    *_base_.augment,
]
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
"""


def _budget(plan: Plan) -> str:
    """The budget as an entry of the config; of a single task there is one network only."""
    if plan.shared == plan.apart:
        return '        # A single task has only one tree. Add a folder of labels to share with.\n'
    return f"""        # Half way from shared ({plan.shared:.4g}) to all apart ({plan.apart:.4g}).
        target_madds={plan.budget:g},
"""


def _branched(plan: Plan, folder: str) -> str:
    total = plan.device.train_iters
    return f"""# Retrain the tree that the search has found.
#
#   mmbmtas retrain {folder}/branched.py
#   mmbmtas test {folder}/branched.py {folder}/work_dirs/branched/iter_{total}.pth
_base_ = ['./project.py', 'mmbmtas::bmtas/_base_/schedules/scenes.py']

work_dir = '{{{{ fileDirname }}}}/work_dirs/branched'
architecture = '{{{{ fileDirname }}}}/work_dirs/search/architecture.json'
pretrained = None  # ImageNet weights: a file, or torchvision://mobilenet_v2 for the full width
total_batch_size = {plan.batch}
cost_shape = {plan.crop}
max_iters = {total}

model = dict(backbone=dict(type='BranchedNetwork'))
optim_wrapper = dict(optimizer=dict(lr={plan.device.lr}))
train_cfg = dict(val_interval={total})
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval={max(50, total // 4)}))
"""


def _readme(plan: Plan, folder: str) -> str:
    total = plan.device.train_iters
    lists = [f'| `{t.found.name}` | {t.found.guess.spec["kind"]} | {len(t.found.group.files)} | '
             f'{t.metric["type"].removeprefix("mmbmtas.")} |' for t in plan.tasks]  # fmt: skip
    guesses = [
        f'- `labels.{task.found.name}.{name}`: {why}'
        for task in plan.tasks
        for name, why in task.found.guess.why.items()
    ]
    checks = '\n'.join(['## Check these guesses', '', *guesses, '']) if guesses else ''
    return f"""# A multi-task network for {plan.found.root.resolve().name}

{len(plan.found.images.files)} images. `samples.png` shows some with their labels.

| task | labels | files | score |
|---|---|--:|---|
{chr(10).join(lists)}

{checks}
## Commands

    mmbmtas search {folder}/search.py
    mmbmtas retrain {folder}/branched.py
    mmbmtas test {folder}/branched.py {folder}/work_dirs/branched/iter_{total}.pth
    mmbmtas infer {folder}/branched.py {folder}/work_dirs/branched/iter_{total}.pth PHOTOS -o out

- `project.py` has the data, the tasks, the decoders and the scores. `search.py` and `branched.py`
  build on it.
- A command that was interrupted continues with `--resume` (search, retrain).
- The lengths suit a first try on a {plan.device.name}. For better scores raise `weight_iters` in
  `search.py` and `max_iters` in `branched.py`, and name ImageNet weights as `pretrained`.
- `target_madds` in `search.py` is the budget of the whole network in multiply-adds, half way
  between the shared network and all apart. A smaller one shares more.
- `mmbmtas browse-dataset {folder}/branched.py --output-dir sheets` draws what training sees.
- `mmbmtas check-dataset {folder}/branched.py` opens every file and says what is wrong with it.
"""


def _entries(settings: Mapping[str, Any], indent: int) -> str:
    return ''.join(
        f'{" " * indent}{name}={_code(value, indent)},\n' for name, value in settings.items()
    )


def _code(value: Any, indent: int) -> str:
    """A value as it stands in a config; long ones on several lines."""
    if isinstance(value, dict):
        line = f'dict({", ".join(f"{k}={_code(v, 0)}" for k, v in value.items())})'
        if len(line) + indent + 20 <= _WIDTH:
            return line
        return f'dict(\n{_entries(value, indent + 4)}{" " * indent})'
    if isinstance(value, list):
        line = repr(value)
        if len(line) + indent + 20 <= _WIDTH:
            return line
        items = ''.join(f'{" " * (indent + 4)}{_code(item, indent + 4)},\n' for item in value)
        return f'[\n{items}{" " * indent}]'
    return repr(value)
