"""Reports: one HTML file that holds all it shows."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from physgen.files import write_text
from physgen.verdict import Verdict, comparison, filled, shown

STYLE = """
body { font: 16px/1.55 Georgia, 'Times New Roman', serif; color: #222; background: #fdfdfb;
       max-width: 62rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.9rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
p.lead { font-size: 1.1rem; color: #444; }
table { border-collapse: collapse; font: 14px/1.4 system-ui, sans-serif; margin: .8rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, td:nth-child(6):last-child { text-align: left; }
thead th { border-bottom: 2px solid #333; } tr.ours td { font-weight: bold; background: #eef4fb; }
figure { margin: 1.2rem 0; } figure img { max-width: 100%; }
figcaption { font-size: .9rem; color: #555; } code { font-size: .9em; }
p.warning { background: #fff3d6; border-left: 4px solid #e0a100; padding: .5rem .9rem; }
"""


LEGEND = "{}: lower is better. <i>Calls</i> are simulations for each design."
FINER = "<i>Finer</i> is its mean by a solver finer than the one that designs were searched with."


@dataclass(frozen=True)
class Picture:
    """A PNG or GIF file and what it shows."""

    path: Path
    caption: str


def write_report(
    path: Path,
    verdict: Verdict,
    summary: str,
    command: str,
    pictures: Sequence[Picture],
    meanings: Mapping[str, str],
    main: str = "objective",
) -> None:
    """Write ``report.html``: summary, table, pictures, and how it was made.

    Arguments:
        path: The file.
        verdict: What was found.
        summary: The same in a few sentences.
        command: What makes it again.
        pictures: To be shown.
        meanings: What each figure is, in words; nothing is said of those that are not there.
        main: The figure that methods are compared by.
    """
    parts = [
        f"<h1>{_text(verdict.task)}</h1><p class='lead'>{_text(summary)}</p>",
        *(f"<p class='warning'>{_text(line)}</p>" for line in verdict.warnings),
        "<h2>The verdict of the true solver</h2>",
        _comparison(verdict, main),
        _legend(verdict, main),
        _figures(verdict, meanings),
        "<h2>To look at</h2>",
        *(_picture(picture) for picture in pictures),
        "<h2>How it was made</h2>",
        f"<p><code>{_text(command)}</code></p>",
        _facts(verdict),
    ]
    body = "\n".join(parts)
    write_text(
        path,
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{_text(verdict.task)}</title><style>{STYLE}</style></head>"
        f"<body>{body}</body></html>\n",
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[object]]]) -> str:
    """A table; each row has a class and its cells."""
    top = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    lines = (
        f"<tr class='{kind}'>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"
        for kind, cells in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _comparison(verdict: Verdict, main: str) -> str:
    heads, (*others, own) = filled(comparison(verdict, main))
    return _table(heads, [*(("", row) for row in others), ("ours", own)])


def _legend(verdict: Verdict, main: str) -> str:
    said = LEGEND.format(main.replace("_", " ").capitalize())
    return f"<p>{said} {FINER if f'{main}_fine' in verdict.figures else ''}</p>"


def _figures(verdict: Verdict, meanings: Mapping[str, str]) -> str:
    head = ("figure", "mean ± 95 %", "median", "best", "unit", "")
    rows = [
        (
            "",
            (
                *(name.replace("_", " "), value, shown(value.median), shown(value.best)),
                *("" if value.unit == "1" else value.unit, meanings.get(name, "")),
            ),
        )
        for name, value in verdict.figures.items()
    ]
    invalid = f"Invalid designs: {100 * verdict.invalid_fraction:.1f} % of {verdict.designs}, "
    return _table(head, rows) + f"<p>{invalid}counted in all figures.</p>"


def _picture(picture: Picture) -> str:
    kind = picture.path.suffix.removeprefix(".")
    data = base64.b64encode(picture.path.read_bytes()).decode()
    caption = _text(picture.caption)
    return (
        f"<figure><img alt='{caption}' src='data:image/{kind};base64,{data}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _facts(verdict: Verdict) -> str:
    facts: dict[str, object] = {
        "seed": verdict.seed,
        "network evaluations, each part of a design": f"{verdict.network_evaluations:.0f}",
        "solver calls, each design": verdict.solver_calls,
        "solver calls, once for all designs": verdict.shared_solver_calls,
    }
    facts |= {f"seconds, {name}": f"{value:.1f}" for name, value in verdict.seconds.items()}
    facts |= {f"option {name}": value for name, value in verdict.options.items()}
    facts |= {f"version of {name}": value for name, value in verdict.versions.items()}
    facts["files"] = ", ".join(verdict.files)
    return _table(("", ""), [("", (name, value)) for name, value in facts.items()])
