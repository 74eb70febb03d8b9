"""Distinguishes images from labels by the names of the files alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmbmtas.datasets.folder_files import IMAGE_ENDINGS

ENDINGS = (*IMAGE_ENDINGS, 'npy', 'mat')
SPLITS = {
    'train': 'train',
    'training': 'train',
    'val': 'val',
    'valid': 'val',
    'validation': 'val',
    'test': '',
    'testing': '',
}
"""Names of folders that stand for a split; images of others are in neither."""
_TOKEN = re.compile(r'[_\-. ][A-Za-z][A-Za-z0-9]*$')
_OFTEN = 0.2
"""Share of a folder's files that make an ending of their names one of a kind of label."""
_MATCH = 0.5
"""Share of the files of a kind that must belong to images."""


@dataclass
class Group:
    """Files of one kind: a folder, or those of a folder whose names end alike.

    Attributes:
        folder: The folder below the root, without the folder of a split; empty for the root.
        before: What stands before the image's own name.
        after: What stands behind it, such as ``_mask``.
        files: Path of each file, by split and the image's own name.
    """

    folder: str
    before: str = ''
    after: str = ''
    files: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Words in the names of the folder and of the files."""
        name = f'{self.folder}_{self.before}_{self.after}'
        return re.findall(r'[a-z]+', re.sub(r'([a-z])([A-Z])', r'\1 \2', name).lower())

    @property
    def name(self) -> str:
        """A task's name: what the files are called, else the folder."""
        own = self.after or self.before or self.folder.rpartition('/')[2]
        text = re.sub(r'\W+', '_', own).strip('_').lower()
        return text if text.isidentifier() else f'task_{text}'.rstrip('_')

    @property
    def endings(self) -> list[str]:
        """Endings of the files, lower case."""
        return sorted({path.rpartition('.')[2].lower() for path in self.files.values()})

    @property
    def pattern(self) -> str:
        """The pattern of ``FolderMT`` that names the files."""
        place = f'{self.folder}/' * bool(self.folder)
        exact = {path.rpartition('.')[2] for path in self.files.values()}
        ending = f'.{exact.pop()}' if len(exact) == 1 else ''
        return f'{place}{self.before}{{stem}}{self.after}{ending}'

    @property
    def has_splits(self) -> bool:
        """Whether the files lie in folders of splits."""
        return any(split != _NO_SPLIT for split, _ in self.files)


_NO_SPLIT = '-'


def group_files(paths: Iterable[str]) -> list[Group]:
    """Group files by their folders and the ends of their names.

    Args:
        paths: Files relative to the root, with ``/``.

    Returns:
        The groups, by name.
    """
    folders: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        stem, _, ending = path.rpartition('.')
        if ending.lower() not in ENDINGS:
            continue
        *parents, name = stem.split('/')
        split = next((p for p in parents if p.lower() in SPLITS), None)
        parents = [p for p in parents if p != split]
        key = (_NO_SPLIT if split is None else SPLITS[split.lower()], name)
        folders['/'.join(parents)][key].append(path)
    groups = []
    for folder, files in sorted(_joined(folders).items()):
        groups += _groups_of_folder(folder, files)
    return groups


def _joined(
    folders: Mapping[str, Mapping[tuple[str, str], list[str]]],
) -> dict[str, dict[tuple[str, str], list[str]]]:
    """Join the folders below a folder of one kind (``images/day``, ``images/night``).

    The level at which kinds differ is the first one at which there are several folders.
    """
    names = [folder.split('/') if folder else [] for folder in folders]
    level = 0
    while len({tuple(n[: level + 1]) for n in names}) == 1 and all(len(n) > level for n in names):
        level += 1
    joined: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for parents, files in zip(names, folders.values(), strict=True):
        top, rest = parents[: level + 1], parents[level + 1 :]
        for (split, name), paths in files.items():
            joined['/'.join(top)][split, '/'.join([*rest, name])] += paths
    return joined


def _groups_of_folder(folder: str, files: Mapping[tuple[str, str], list[str]]) -> list[Group]:
    """Divide the files of a folder where their names say that they are of several kinds."""
    tails = Counter(found[0] for _, name in files if (found := _TOKEN.search(name)))
    often = {t for t, n in tails.items() if n >= max(2, _OFTEN * len(files))}
    bases: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for split, name in files:
        found = _TOKEN.search(name)
        tail = found[0] if found and found[0] in often else ''
        bases[tail].add((split, name.removesuffix(tail)))
    for tail in sorted(often):
        # The smaller of two kinds decides: few images may have the label.
        others = [bases[other] for other in bases if other != tail]
        own = bases[tail]
        if not any(len(own & other) > _MATCH * min(len(own), len(other)) for other in others):
            bases[''] |= {(split, name + tail) for split, name in bases.pop(tail)}
    groups: dict[tuple[str, str], Group] = {}
    for tail, keys in bases.items():
        found_paths = [(key, path) for key in sorted(keys) for path in files[key[0], key[1] + tail]]
        twice = len(found_paths) > len({key for key, _ in found_paths})
        for key, path in found_paths:
            ending = path.rpartition('.')[2].lower() if twice else ''
            group = groups.setdefault((tail, ending), Group(folder, after=tail))
            group.files[key] = path
    return [groups[key] for key in sorted(groups)]


def match_group(images: Group, labels: Group) -> Group | None:
    """Name a group of labels by the images that its files belong to.

    Args:
        images: The images.
        labels: Another group.

    Returns:
        The same files by the images' names, with what stands before and behind these; files of no
        image are left out. None if most are of no image.
    """
    stems = {*images.files}
    if len(stems & labels.files.keys()) >= _MATCH * len(labels.files):
        return _renamed(labels, stems, '', '')
    # By the image's name in that of the label: ``7`` in ``mask_7_v2``.
    by_length: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for split, stem in stems:
        by_length[len(stem)].add((split, stem))
    frames: Counter[tuple[str, str]] = Counter()
    for split, name in [*labels.files][:50]:
        for length in sorted(by_length, reverse=True):
            places = range(len(name) - length + 1)
            hit = next(
                (i for i in places if (split, name[i : i + length]) in by_length[length]), -1
            )
            if hit >= 0:
                frames[name[:hit], name[hit + length :]] += 1
                break
    if not frames:
        return None
    (before, after), _ = frames.most_common(1)[0]
    found = _renamed(labels, stems, before, after)
    return found if len(found.files) >= _MATCH * len(labels.files) else None


def _renamed(labels: Group, stems: set[tuple[str, str]], before: str, after: str) -> Group:
    files = {
        (split, name[len(before) : len(name) - len(after)]): path
        for (split, name), path in labels.files.items()
        if name.startswith(before) and name.endswith(after)
    }
    return Group(
        labels.folder,
        before + labels.before,
        after + labels.after,
        {key: path for key, path in files.items() if key in stems},
    )


def without_tail(images: Group) -> Group | None:
    """Name images without the word that all their names end in, such as ``_rgb``; None if none."""
    tails = {found[0] if (found := _TOKEN.search(name)) else '' for _, name in images.files}
    if len(tails) != 1 or not (tail := tails.pop()):
        return None
    files = {(s, name.removesuffix(tail)): path for (s, name), path in images.files.items()}
    return Group(images.folder, images.before, tail + images.after, files)
