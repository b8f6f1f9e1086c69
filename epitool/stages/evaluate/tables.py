"""Text forms of the numbers of `metrics.json`: for the terminal, as CSV, and as rows of a paper's table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from epitool.errors import UsageError
from epitool.files import writing

Document = Mapping[str, Any]
SUFFIXES = (".csv", ".md", ".tex")
BY = ("joint", "axis", "action", "person")
_CSV = ("row", "by", "part", "metric", "value", "low", "high", "unit", "protocol", "joints", "root", "alignment")
# A line below the titles and spaces between columns, in 80 characters, and in ASCII, which every pipe can encode.
_LINES = "    \n    \n -- \n    \n    \n    \n    \n    \n"
_CSV_COUNTS = ("counted", "skipped", "missing_joints", "sequences", "reason")


def check_table(path: Path | None) -> None:
    """Refuse a table's name whose suffix does not state its format.

    Raises:
        UsageError: The suffix is none of `.csv`, `.md` and `.tex`.
    """
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--table {path}: name it .csv, .md or .tex")


def write_table(path: Path, document: Document) -> None:
    """Write all numbers as CSV, one per line, or the rows in the paper's order as Markdown or LaTeX."""
    suffix = path.suffix.lower()
    text = _csv(document) if suffix == ".csv" else _markdown(document) if suffix == ".md" else _latex(document)
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def main_table(rows: Sequence[Document]) -> str:
    """Return the metrics side by side, with half the width of each interval below the value."""
    first = rows[0]["metrics"]
    titles = [_title(metric) for metric in first]
    lines = []
    for row in rows:
        metrics = row["metrics"]
        lines.append([row["name"], *map(_value, metrics), str(max(metric["counted"] for metric in metrics))])
        if any(metric["interval"] for metric in metrics):
            lines.append(["", *map(_interval, metrics), ""])
    return _grid(["", *titles, "\n\nposes"], lines)


def difference_lines(document: Document) -> list[str]:
    """Return the differences of each further file from the first, with the ends of their intervals.

    A difference is significant if its interval does not contain 0.
    """
    units = {metric["name"]: metric["unit"] for metric in document["rows"][0]["metrics"]}
    lines = []
    for difference in document["differences"]:
        cells = []
        for name, mean in difference["metrics"].items():
            if mean["value"] is not None:
                interval = f" [{mean['interval'][0]:+.1f}, {mean['interval'][1]:+.1f}]" if mean["interval"] else ""
                cells.append(f"{name} {mean['value']:+.1f}{interval}{' %' if units[name] == '%' else ''}")
        lines += [f"{difference['name']} against {difference['against']}:", *(f"  {cell}" for cell in cells)]
    return lines


def parts_table(row: Document, by: str) -> str:
    """Return one file's metrics by joint, axis, action or person."""
    parts = row[f"by_{by}"]
    lines = []
    for name in next(iter(parts.values())):
        means = [means[name] for means in parts.values()]
        lines.append([name, *map(_value, means), str(max(mean["counted"] for mean in means))])
        if any(mean["interval"] for mean in means):
            lines.append(["", *map(_interval, means), ""])
    return f"{row['name']}, by {by}\n" + _grid([by, *parts, "poses"], lines)


def _grid(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.Box(_LINES, ascii=True), padding=0, show_edge=False)
    for i, title in enumerate(titles):
        table.add_column(title, justify="right" if i else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    text = StringIO()
    Console(file=text, width=300, color_system=None, force_terminal=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())


def _value(mean: Document) -> str:
    return "n/a" if mean["value"] is None else f"{mean['value']:.1f}"


def _interval(mean: Document) -> str:
    """Return half the width of the interval; both ends are in the written files."""
    return f"+-{(mean['interval'][1] - mean['interval'][0]) / 2:.1f}" if mean["interval"] else ""


def _title(metric: Document) -> str:
    """Return the title of a metric in three lines, because terminals are narrow."""
    name, at, rest = metric["name"].partition("@")
    return f"{name}\n{at}{rest}\n{'' if metric['unit'] == 'arbitrary' else metric['unit']}"


def _csv(document: Document) -> str:
    """Return one line per number, each with all that identifies it."""
    text = StringIO()
    writer = csv.DictWriter(text, (*_CSV, *_CSV_COUNTS), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in document["rows"]:
        whole = {metric["name"]: {**metric, "joints": len(metric["joints"])} for metric in row["metrics"]}
        for name, metric in whole.items():
            writer.writerow({**metric, "row": row["name"], "metric": name, **_cells(metric)})
        for by in BY:
            for name, means in row.get(f"by_{by}", {}).items():
                context = {key: whole[name][key] for key in ("unit", "protocol", "joints", "root", "alignment")}
                for part, mean in means.items():
                    cells = {"row": row["name"], "by": by, "part": part, "metric": name, "counted": mean["counted"]}
                    writer.writerow({**context, **cells, **_cells(mean)})
    for difference in document["differences"]:
        for name, mean in difference["metrics"].items():
            cells = {"row": difference["name"], "by": "difference", "part": difference["against"], "metric": name}
            writer.writerow({**cells, "counted": mean["counted"], **_cells(mean)})
    return text.getvalue()


def _cells(mean: Document) -> dict[str, str]:
    low, high = mean["interval"] or ("", "")
    value = "" if mean["value"] is None else f"{mean['value']:.6g}"
    return {"value": value, **{key: f"{x:.6g}" if x != "" else "" for key, x in (("low", low), ("high", high))}}


def _markdown(document: Document) -> str:
    names = [metric["name"] for metric in document["rows"][0]["metrics"]]
    lines = [f"| Methods | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for row in document["rows"]:
        lines.append(f"| {row['name'].replace('|', '/')} | {' | '.join(map(_paper, row['metrics']))} |")
    return "\n".join([*lines, "", f"{_context(document)}."]) + "\n"


def _latex(document: Document) -> str:
    names = [metric["name"] for metric in document["rows"][0]["metrics"]]
    lines = [f"% {_context(document)}", f"Methods & {' & '.join(names)} \\\\"]
    for row in document["rows"]:
        lines.append(f"{_escaped(row['name'])} & {' & '.join(map(_paper, row['metrics']))} \\\\")
    return "\n".join(lines) + "\n"


def _paper(metric: Document) -> str:
    return "n/a" if metric["value"] is None else f"{metric['value']:.2f}"


def _escaped(name: str) -> str:
    plain = name.replace("\\", "/")
    return "".join(f"\\{sign}" if sign in "&%$#_{}" else sign for sign in plain)


def _context(document: Document) -> str:
    joints = len(document["joints"])
    return (
        f"Protocol {document['protocol']}, {joints} joints of {document['skeleton']}, root {document['root']},"
        f" {document['poses']} poses of part {document['split']}, unit {document['unit']}"
    )
