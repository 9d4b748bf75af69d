"""The tools that write pages of the documentation."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from napari_saliency import explain, load_model

pytestmark = pytest.mark.framework
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Import a tool as it is run: beside the others."""
    monkeypatch.syspath_prepend(TOOLS)
    return import_module


WRITTEN = """# A head of before

| method | strongest | (lowest) | all | highest | seconds a picture |
| --- | --- | --- | --- | --- | --- |
| RISE (`rise`) | 100.0% | 84.4% | 41.3% | 50 of 50 | 8 |
| Gone (`gone`) | 90.0% | 84.4% | 41.3% | 50 of 50 | 8 |
| Gradient (`gradient`) | 9.5% | 1.0% | 2.0% | 3 of 50 | 4 |
| Deconvnet (`deconvnet`) | 6.7% | 0.0% | 5.3% | 5 of 50 | 0.011 |
"""


def test_judging_one_method_keeps_the_lines_of_the_others(tool, monkeypatch, tmp_path):
    judge, file = tool("judge"), tmp_path / "table.md"
    file.write_text(WRITTEN, "utf-8")
    monkeypatch.setattr(judge, "PICTURES", 2)
    monkeypatch.setattr("sys.argv", ["judge.py", str(file), "--only", "grad_cam", "gradient"])
    judge.main()
    before, now = WRITTEN.splitlines(), file.read_text("utf-8").splitlines()
    assert now[0] == "# Methods judged by a known truth"
    rise, first, second, deconvnet = now[now.index(before[3]) + 1 :]
    assert (rise, deconvnet) == (before[4], before[7])
    assert {line.split("`")[1] for line in (first, second)} == {"gradient", "grad_cam"}
    assert all("of 2 |" in line for line in (first, second))
    assert float(first.split("|")[2].strip(" %")) >= float(second.split("|")[2].strip(" %")) > 9.5


def test_a_table_is_begun_where_there_is_none(tool, tmp_path):
    assert tool("judge").rows_of(tmp_path / "none.md") == {}


def test_in_the_gallery_a_note_stands_on_a_line_of_its_own(tool):
    explanation = explain(load_model("bundled:watermark"), np.zeros((64, 64, 3), np.uint8))
    told = replace(explanation, diagnostics={"samples": 50.0, "gap": 0.5}, notes=("First.", "Second."))
    row = tool("gallery").row
    assert row("gradient", told).endswith(" | samples 50, gap 0.5<br>First.<br>Second. |")
    assert row("gradient", replace(told, diagnostics={})).endswith(" | First.<br>Second. |")
