"""The tools that write pages of the documentation."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_saliency import check, explain, load_model

pytestmark = pytest.mark.framework
TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Return a function that imports a tool, with its folder on the path as when it is run."""
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
    reported = replace(explanation, diagnostics={"samples": 50.0, "gap": 0.5}, notes=("First.", "Second."))
    row = tool("gallery").row
    assert row("gradient", reported).endswith(" | samples 50, gap 0.5<br>First.<br>Second. |")
    assert row("gradient", replace(reported, diagnostics={})).endswith(" | First.<br>Second. |")


def test_the_gallery_has_a_tile_for_the_photo_and_for_each_map_on_both_scales(tool, tmp_path, monkeypatch):
    gallery = tool("gallery")
    monkeypatch.setattr("sys.argv", ["gallery.py", str(tmp_path), "--only", "gradient", "grad_cam"])
    gallery.main()
    page = (tmp_path / "gallery.md").read_text("utf-8")
    for folder in ("gallery", "gallery_shared"):
        tiles = {
            path.stem: iio.imread(path)[..., :3] for path in (tmp_path / "_static" / folder).glob("*.png")
        }
        assert {name: tile.shape for name, tile in tiles.items()} == dict.fromkeys(
            ("photo", "gradient", "grad_cam"), (224, 224, 3)
        )
        assert all(f":img-bottom: _static/{folder}/{name}.png" in page for name in tiles)
        changed = np.abs(tiles["gradient"].astype(int) - tiles["photo"]).mean()
        assert (changed > 4) == (folder == "gallery")  # on one scale, the gradient is all but transparent


def test_what_random_weights_leave_is_counted_and_its_range_told(tool):
    calibrate = tool("calibrate")
    result = [
        (0, "gradient", 0.5, -0.25, "good"),
        (1, "gradient", 0.25, 0, "good"),
        (1, "occlusion", 0.75, 0.5, "bad"),
    ]
    lines = calibrate.page([calibrate.Left("small", *each) for each in result]).splitlines()
    assert "| Gradient (`gradient`) | 0.25 to 0.50 | -0.25 to 0.00 | 2 | 0 | 0 |" in lines
    assert "| Occlusion (`occlusion`) | 0.75 to 0.75 | 0.50 to 0.50 | 0 | 0 | 1 |" in lines
    (small,) = (line for line in lines if line.startswith("| `small`"))
    ranges = {"gradient": "0.25 to 0.50", "occlusion": "0.75 to 0.75"}
    columns = [ranges.get(method, "nothing to judge") for method in calibrate.MEASURED]
    assert small == f"| `small` | 2 | {' | '.join(columns)} |"


def test_what_is_measured_is_what_the_check_says(tool, tmp_path, capsys, monkeypatch):
    """Without the data folder only the bundled network that draws its own images is measured."""
    calibrate, file = tool("calibrate"), tmp_path / "page.md"
    monkeypatch.setattr(calibrate, "MEASURED", ("gradient",))
    monkeypatch.setattr("sys.argv", ["calibrate.py", str(file), "--pictures", "1", "--data", str(tmp_path)])
    calibrate.main()
    output = capsys.readouterr().out
    assert "mnist/mnist_cnn.h5 is skipped: mnist/mnist_cnn.h5 and mnist/mnist.npz not found" in output
    (picture,) = calibrate.marked(tmp_path, 1)
    model = load_model("bundled:watermark")
    explanation, uppers = explain(model, picture), []
    for seed in calibrate.SEEDS:
        options = {"model_randomisation": {"seed": seed}}
        report = check(model, picture, explanation, "model_randomisation", options=options)
        uppers.append(report.findings["model_randomisation"].figures["similarity, upper half"])
    wanted = f"| `bundled:watermark` | 1 | {min(uppers):.2f} to {max(uppers):.2f} |"
    assert wanted in file.read_text("utf-8").splitlines()
