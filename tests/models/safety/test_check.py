"""The one door: every attack has a test, and nothing opens that was not looked through."""

import re
from pathlib import Path

import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import load_model, safety

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("attack", safety.ATTACKS)
def test_every_attack_has_a_test(attack):
    written = "\n".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    assert safety.ATTACKS[attack]
    for name in safety.ATTACKS[attack]:
        assert re.search(rf"^def {name}\(", written, re.MULTILINE), name


def test_what_nobody_can_look_through_is_refused(tmp_path):
    (tmp_path / "net.pkl").touch()
    with pytest.raises(ModelError, match=r"'\.pkl'"):
        safety.check(tmp_path / "net.pkl")


@pytest.mark.framework
def test_each_file_is_looked_through_once_and_by_its_readers_own_rules(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("napari_saliency.models.safety.keras_files.check", asked.append)
    path = tmp_path / "net.keras"
    path.write_text("no model")
    with pytest.raises(ModelError):
        load_model(path)
    assert asked == [path]


@pytest.mark.parametrize("name", ["net.pt", "net.pt2", "net.keras", "net.h5"])
def test_a_file_is_told_what_it_is_by_what_is_in_it(tmp_path, name):
    (tmp_path / name).write_text("a text")
    with pytest.raises(ModelError, match="not a valid"):
        safety.check(tmp_path / name)
