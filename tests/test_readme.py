"""The README's tables are those of the program."""

import runpy
from pathlib import Path

import pytest

from napari_saliency import METHODS, models

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
TOOL = runpy.run_path(str(ROOT / "tools" / "generate_readme.py"))


def test_the_tables_are_up_to_date():
    assert TOOL["renewed"](README) == README, "run python tools/generate_readme.py"


def test_every_method_is_listed_once():
    titles = [method.title for method in METHODS.values()]
    assert [README.count(f"[{title}](") for title in titles] == [1] * len(titles)


def test_every_kind_of_file_that_opens_is_listed():
    assert all(f"`{ending}`" in README for ending in models.endings())


def test_a_table_that_is_out_of_date_is_made_anew():
    old = README.replace("[RISE]", "[ROSE]")
    assert old != README
    assert TOOL["renewed"](old) == README


def test_a_readme_without_the_marks_is_told():
    with pytest.raises(ValueError, match=r"no block 'methods'"):
        TOOL["renewed"]("# A readme")
