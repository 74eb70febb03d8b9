"""A short document of paragraphs, tables and pictures, written as Markdown and as one HTML file."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #2f3640; max-width: 1200px; margin: 2em auto;
       padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto; }
th, td { padding: .25em .7em; border-bottom: 1px solid #dfe3e8; text-align: right;
         white-space: nowrap; }
th { border-bottom: 2px solid #2f3640; }
th:first-child, td:first-child { text-align: left; }
td.text { text-align: left; white-space: normal; }
img { max-width: 100%; }
pre { background: #f4f6f8; padding: .8em; overflow-x: auto; }
"""


@dataclass(frozen=True)
class Heading:
    """A heading; the first one of a document, of level 1, is its title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Code:
    """Preformatted lines."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table; cells of the first column and of ``text_columns`` are set left, others right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: Sequence[int] = ()


@dataclass(frozen=True)
class Picture:
    """A PNG file beside the document."""

    path: Path
    caption: str


Block = Heading | Paragraph | Code | Grid | Picture


def to_markdown(blocks: Sequence[Block]) -> str:
    """Write as Markdown; pictures are links to files beside it."""
    return '\n\n'.join(map(_markdown, blocks)) + '\n'


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f'{"#" * level} {text}'
        case Paragraph(text):
            return text
        case Code(text):
            return f'```\n{text}\n```'
        case Picture(path, caption):
            return f'![{caption}]({path.name})\n\n{caption}'
        case Grid(header, rows, text_columns):
            left = {0, *text_columns}
            rule = ['---' if column in left else '--:' for column in range(len(header))]
            escaped = [[cell.replace('|', '\\|') for cell in line] for line in (header, *rows)]
            lines = [escaped[0], rule, *escaped[1:]]
            return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def to_html(blocks: Sequence[Block]) -> str:
    """Write as one HTML file, pictures included; nothing is loaded from elsewhere."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = '\n'.join(map(_html, blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n{body}\n</body>\n</html>\n'
    )


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f'<h{level}>{html.escape(text)}</h{level}>'
        case Paragraph(text):
            return f'<p>{html.escape(text)}</p>'
        case Code(text):
            return f'<pre>{html.escape(text)}</pre>'
        case Picture(path, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            escaped = html.escape(caption)
            return (
                f'<figure><img src="data:image/png;base64,{data}" alt="{escaped}">'
                f'<figcaption>{escaped}</figcaption></figure>'
            )
        case Grid(header, rows, text_columns):
            head = ''.join(f'<th>{html.escape(cell)}</th>' for cell in header)
            lines = [f'<table>\n<thead><tr>{head}</tr></thead>\n<tbody>']
            for row in rows:
                cells = ''.join(
                    f'<td{" class=text" * (column in text_columns)}>{html.escape(cell)}</td>'
                    for column, cell in enumerate(row)
                )
                lines.append(f'<tr>{cells}</tr>')
            return '\n'.join([*lines, '</tbody></table>'])
