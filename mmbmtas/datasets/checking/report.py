"""The results of checking a dataset's files, for people and for programs."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmbmtas.datasets.problems import Kind, Problem
from mmbmtas.writing import file_place, written_beside

_HEADINGS: dict[Kind, str] = {
    'split': 'Lists of ids',
    'missing': 'Missing files',
    'unreadable': 'Files that cannot be read, or have another structure',
    'size': 'Labels of another size than their image',
    'range': 'Values out of range',
}


@dataclass
class FolderCount:
    """Files of a folder: all, those that a split lists, and listed ids that have none here."""

    files: int
    listed: int
    without: int


@dataclass
class Report:
    """Outcome of :func:`mmbmtas.datasets.checking.check_dataset`.

    Attributes:
        root: Folder of the dataset.
        dataset: Name of the dataset class that reads it.
        packaging: Which form of the release was found.
        splits: Number of ids in each split.
        folders: Files of each folder against the ids of both splits.
        opened: Number of files that were opened.
        problems: What is wrong.
        notes: What is worth knowing but keeps nothing from working.
        interrupted: Whether the check was ended before all files were opened.
    """

    root: str
    dataset: str
    packaging: str
    splits: dict[str, int] = field(default_factory=dict)
    folders: dict[str, FolderCount] = field(default_factory=dict)
    opened: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def passed(self) -> bool:
        """Whether all files were opened and nothing is wrong."""
        return not self.problems and not self.interrupted

    def summary(self) -> str:
        """Say in one line how many problems there are."""
        counts = Counter(problem.kind for problem in self.problems)
        kinds = ', '.join(f'{count} {kind}' for kind, count in counts.items())
        number = len(self.problems)
        found = f'{number} problem{"s" * (number > 1)} ({kinds})' if kinds else 'no problem'
        end = ', interrupted before the end' if self.interrupted else ''
        return f'{self.root}: {self.packaging}, {self.opened} files opened, {found}{end}'

    def text(self) -> str:
        """List everything, one item per line."""
        lines = [self.summary(), '']
        lines += [f'{name}: {count} ids' for name, count in self.splits.items()]
        lines += ['', f'{"folder":32}{"files":>8}{"listed":>8}{"ids without":>13}']
        lines += [
            f'{name:32}{count.files:8}{count.listed:8}{count.without:13}'
            for name, count in self.folders.items()
        ]
        for kind, heading in _HEADINGS.items():
            of_kind = [problem for problem in self.problems if problem.kind == kind]
            if of_kind:
                lines += ['', f'{heading} ({len(of_kind)})']
                lines += [f'  {problem.path}: {problem.message}' for problem in of_kind]
        if self.notes:
            lines += ['', 'Notes', *(f'  {note}' for note in self.notes)]
        return '\n'.join(lines) + '\n'


def report_places(to: str | Path) -> tuple[Path, Path]:
    """Name the two files of a report, JSON and text.

    Raises:
        OccupiedError: A folder is at one of the places.
    """
    path = Path(to)
    return file_place(path.with_suffix('.json')), file_place(path.with_suffix('.txt'))


def write_report(report: Report, to: str | Path) -> tuple[Path, Path]:
    """Write a report as JSON and as text.

    Args:
        report: What was found.
        to: The JSON file; the text goes beside it, ending in ``.txt``.

    Returns:
        Both files.
    """
    json_path, text_path = report_places(to)
    content = {**asdict(report), 'passed': report.passed}
    for path, text in (
        (json_path, json.dumps(content, indent=2) + '\n'),
        (text_path, report.text()),
    ):
        with written_beside(path) as beside:
            beside.write_text(text, encoding='utf-8')
    return json_path, text_path
