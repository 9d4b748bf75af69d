"""Rewrite the README's tables from the program, between the marks ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

    python tools/generate_readme.py [--check]

With ``--check`` nothing is written, and the exit code is 1 if a table is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from napari_saliency import METHODS, models

README = Path(__file__).parents[1] / "README.md"
SITE = "https://napari-saliency.github.io/napari-saliency"
FAMILIES = {
    "scores": "any model, by its scores alone",
    "gradient": "its gradients",
    "tap": "a convolutional layer",
    **dict.fromkeys(("rescale", "epsilon"), "a rule for each operation"),
}
"""Requirements of methods on a model, from the least to the most."""


def paper(cite: str) -> str:
    """Shorten a citation to its authors and year: ``Simonyan et al. 2014``."""
    found = re.match(r"(?:after )?(.*?\b\d{4})", cite)
    return found[1] if found else cite


def methods_table() -> str:
    """List the methods by what they need of a model, with links and papers."""
    families: dict[str, list[str]] = {title: [] for title in FAMILIES.values()}
    for method in METHODS.values():
        link = f"[{method.title}]({SITE}/methods/{method.id}.html) ({paper(method.cite)})"
        families[FAMILIES[method.needs]].append(link)
    rows = [f"| {title} | {', '.join(links)} |" for title, links in families.items() if links]
    return "\n".join(["| Explains by | Methods |", "|---|---|", *rows])


def models_table() -> str:
    """List what opens, from the table of adapters."""
    forms = [form for backend in models.BACKENDS.values() for form in backend.formats]
    rows = [(form.model, form.gives.partition(":")[0]) for form in forms]
    return "\n".join(
        ["| You have | It gives |", "|---|---|", *(f"| {have} | {gives} |" for have, gives in rows)]
    )


TABLES = {"methods": methods_table, "models": models_table}


def renewed(text: str) -> str:
    """Return the README with its tables made anew."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
        head, _, rest = text.partition(begin)
        _, mark, tail = rest.partition(end)
        if not mark:
            raise ValueError(
                f"README.md has no block {name!r}: write {begin.strip()} and {end.strip()} around it"
            )
        text = f"{head}{begin}{table()}{end}{tail}"
    return text


def main() -> None:
    """Renew the README, or see whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    before = README.read_text("utf-8")
    after = renewed(before)
    if check:
        sys.exit("README.md is out of date: run python tools/generate_readme.py" if after != before else 0)
    README.write_text(after, "utf-8")


if __name__ == "__main__":
    main()
