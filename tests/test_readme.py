"""The README's tables are those of the program."""

from pathlib import Path

import pytest

from napari_saliency.checks import CHECKS
from napari_saliency.methods import METHODS

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("one", [*METHODS.values(), *CHECKS.values()], ids=lambda one: one.id)
def test_every_method_and_check_has_its_row(one):
    options = ", ".join(option.name for option in one.options)
    assert f"| `{one.id}` | {one.summary.rstrip('.')} | {one.cite} | {options} |" in README


def test_no_row_is_left_of_a_method_that_is_gone():
    tables = README[README.index("## Methods") : README.index("## Your own model")]
    rows = [line.split("`")[1] for line in tables.splitlines() if line.startswith("| `")]
    assert rows == [*METHODS, *CHECKS]
