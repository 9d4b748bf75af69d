"""Arguments of the command line, and errors in them, without a window."""

import sys
from types import ModuleType

import pytest
from typer.testing import CliRunner

from napari_saliency import models
from napari_saliency.app import cli


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def opened(monkeypatch):
    """Collect what would have been opened in a window."""
    calls = []
    monkeypatch.setattr(cli, "_open_window", lambda photos, model: calls.append((photos, model)))
    return calls


@pytest.fixture
def shown(monkeypatch):
    """Collect the files of the demo's screenshots."""
    calls = []
    demo = ModuleType("napari_saliency.app.demo")
    demo.run = calls.append
    monkeypatch.setitem(sys.modules, "napari_saliency.app.demo", demo)
    monkeypatch.setattr("napari_saliency.app.demo", demo, raising=False)
    return calls


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    path.touch()
    return path


def test_opens_photos_with_a_model(run, opened, photo):
    assert run(photo, photo, "--model", "keras:MobileNetV2").exit_code == 0
    assert opened == [([photo, photo], "keras:MobileNetV2")]


def test_opens_napari_without_any_photo(run, opened):
    assert run().exit_code == 0
    assert opened == [([], None)]


def test_demo_runs_with_and_without_a_screenshot(run, shown, tmp_path):
    assert run("--demo").exit_code == 0
    assert run("--demo", "--screenshot", tmp_path / "demo.png").exit_code == 0
    assert shown == [None, tmp_path / "demo.png"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.jpg"], "'missing.jpg' does not exist"),
        (["."], "'.' is a directory"),
        (["--model", "bundled:nothing"], "no bundled model 'nothing'"),
        (["--model", "missing.keras"], "there is no file 'missing.keras'"),
        (["--screenshot", "demo.png"], "together with --demo"),
        (["--demo", "--screenshot", "nowhere/demo.png"], "folder nowhere does not exist"),
        (["--demo", "--model", "bundled:photos"], "omit PHOTO and --model"),
        (["--modle"], "No such option"),
    ],
)
def test_wrong_arguments_get_one_sentence_and_exit_code_2(run, opened, shown, arguments, sentence):
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert opened == shown == []


def test_help_names_every_argument(run):
    text = run("--help").stdout
    assert all(word in text for word in ("PHOTO", "--model", "--demo", "--screenshot"))


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write a model that is a program which is not trusted yet."""
    (tmp_path / "mine_for_the_command.py").write_text("def net(x):\n    return x.mean((1, 2))\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return "python:mine_for_the_command:net"


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "y\n"])
def test_a_program_opens_after_a_yes_and_no_is_the_answer_of_who_gives_none(
    opened, program, monkeypatch, answer
):
    monkeypatch.setattr(cli, "_is_interactive", lambda: True)
    result = CliRunner().invoke(cli.app, ["--model", program], input=answer)
    assert "mine_for_the_command.py" in result.output
    assert "[y/N]" in result.output
    assert (result.exit_code == 0) == bool(opened) == (answer == "y\n")
    assert models.needs_trust(program) == (answer != "y\n")


def test_where_nobody_can_answer_the_panel_asks(run, opened, program):
    assert run("--model", program).exit_code == 0
    assert opened == [([], program)]
    assert models.needs_trust(program)
