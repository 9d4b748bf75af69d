"""The documents: their length, their links, their tables, and the Python in them.

The site itself is built by ``make docs``, where a link that leads nowhere is an error.
"""

import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from napari_saliency import CHECKS, METHODS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "CITATION.cff",
    *(path for path in sorted(DOCS.rglob("*.md")) if "generated" not in path.parts),
]
REPOSITORY = "https://github.com/napari-saliency/napari-saliency"
SITE = "https://napari-saliency.github.io/napari-saliency"
RAW = "https://raw.githubusercontent.com/napari-saliency/napari-saliency/main"
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")


@pytest.fixture(scope="module")
def site():
    """The module that makes pages from the program."""
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(DOCS / "_ext"))
    import registry_pages

    yield registry_pages
    sys.path.remove(str(DOCS / "_ext"))


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md"])
def test_the_two_first_pages_are_short(name):
    assert len((ROOT / name).read_text("utf-8").split()) <= 900


def destination(page: Path, link: str) -> Path | None:
    """The file that a link leads to; None for addresses of others."""
    link = unquote(link.partition("#")[0])
    for prefix in (f"{REPOSITORY}/blob/main/", f"{REPOSITORY}/tree/main/", f"{RAW}/"):
        if link.startswith(prefix):
            return ROOT / link.removeprefix(prefix)
    if link.startswith(SITE):
        name = link.removeprefix(SITE).strip("/").removesuffix(".html") or "index"
        if name.startswith("methods/"):
            assert name.removeprefix("methods/") in METHODS, link
            return DOCS
        return DOCS / f"{name}.md"
    return None if re.match(r"[a-z]+:", link) else (page.parent / link).resolve()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page):
    made = re.compile(r"docs/(reference|examples|methods)/")
    links = [destination(page, link) for link in LINK.findall(page.read_text("utf-8"))]
    gone = [str(path) for path in links if path and not path.exists() and not made.search(path.as_posix())]
    assert gone == []


def test_pictures_of_the_readme_show_on_package_pages_too():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (ROOT / "README.md").read_text("utf-8"))
    assert len(pictures) >= 2
    assert all(picture.startswith(RAW) for picture in pictures)


def test_the_readme_is_found_where_people_search():
    text = (ROOT / "README.md").read_text("utf-8").lower()
    assert all(word in text for word in ("explainable ai", "interpretability", "grad-cam", "saliency map"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_machine(page):
    """No home folder, no address of a machine, no package index."""
    text = page.read_text("utf-8")
    assert not re.search(r"(?<![\w.])/(home|root|Users|tmp|work)/", text)
    assert not re.search(r"\b\d{1,3}(\.\d{1,3}){3}\b|localhost|index-url", text)


def test_pictures_are_small():
    tutorials = sorted((DOCS / "_static").rglob("*.png"))
    assert len(tutorials) > 10
    too_large = [path.name for path in tutorials if path.stat().st_size > 200_000]
    assert too_large == []


def test_every_method_and_check_has_its_place_on_the_site(site):
    pages = site.pages()
    for method in METHODS.values():
        page = pages[f"methods/{method.id}.rst"]
        assert all(text in page for text in (method.title, method.summary, method.cite))
        assert re.findall(r"\* - ``(\w+)``", page) == [option.name for option in method.options]
        assert f":ref:`{method.title} <method-{method.id}>`" in pages["generated/methods.rst.inc"]
    for check in CHECKS.values():
        assert all(
            text in pages["generated/checks.rst.inc"] for text in (check.title, check.summary, check.cite)
        )


def test_what_a_docstring_says_comes_whole_to_the_page(site):
    """Whatever its sections are called; parameters stand in the table of options."""
    parts = {"Formula": "``S(x)``", "Parameters": "a : int\n    A.", "When to use": "Often."}
    sections = [f"{title}\n{'-' * len(title)}\n{text}" for title, text in parts.items()]
    text = "\n\n".join(["One line.", "More.", *sections])
    assert list(site.described(text, "-")) == [
        "More.\n", "Formula\n---------\n", "``S(x)``\n", "When to use\n-------------\n", "Often.\n",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rst"),
    [
        ("(N, *space, K) float32", r"(N, \*space, K) float32"),
        ("yields `Estimate`s", r"yields `Estimate`\ s"),
        ("minus |I|²", r"minus \|I\|²"),
        ("*this* rather than ``*that,``", "*this* rather than ``*that,``"),
        (".. math:: |x|", ".. math:: |x|"),
    ],
)
def test_shapes_and_formulas_of_docstrings_are_no_markup(site, text, rst):
    assert site.as_rst(text) == rst


def test_the_reference_documents_every_public_name(site):
    import napari_saliency

    text = site.pages()["reference/api.rst"]
    missing = [name for name in napari_saliency.__all__ if f"napari_saliency.{name}\n" not in text]
    assert missing == ["__version__"]


def blocks(page: str) -> str:
    """The Python of a page, one program."""
    found = re.findall(
        r"^( *)```python\n(.*?)^ *```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return "\n".join(re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a photo, as readers have one."""
    from skimage.data import chelsea

    Image.fromarray(chelsea()).save(tmp_path / "cat.jpg", quality=95)
    shutil.copy(DOCS / "tutorials" / "port.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


PAGES_WITH_CODE = [
    "../README.md",
    "checks.md",
    "howto/script.md",
    "tutorials/engineer.md",
    "tutorials/teacher.md",
]


@pytest.mark.framework
@pytest.mark.parametrize("page", PAGES_WITH_CODE)
def test_the_python_of_a_page_runs(page, folder, capsys, monkeypatch):
    monkeypatch.setattr("napari_saliency.show", lambda *_: None)  # which waits until its window is closed
    names: dict[str, object] = {}
    exec(compile(blocks(page), page, "exec"), names)
    output = capsys.readouterr().out
    if page == "tutorials/engineer.md":
        assert "6 of 6 maps: highest point on the mark" in output
        assert "64×64 RGB, 4 classes" in output
    if page == "tutorials/teacher.md":
        assert re.search(
            r"circle: circle .*\n.*circle_with_mark: square .*\n.*square_without_mark: triangle", output
        )


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, as it saves
def test_the_python_of_the_tutorial_at_the_microscope_runs(folder, monkeypatch, capsys):
    """On a network that has hardly been trained, which is quick to make."""
    cells = runpy.run_path(str(DOCS / "tutorials" / "cells.py"))
    monkeypatch.setitem(cells["main"].__globals__, "train", lambda: cells["train"](planes=8, epochs=1))
    cells["main"](folder / "cells")
    names: dict[str, object] = {}
    exec(compile(blocks("tutorials/microscope.md"), "microscope.md", "exec"), names)
    assert names["explanation"].values.shape == (128, 128, 1)
    assert names["model"].info.labels == ("background", "nucleus")
    assert names["model"].info.description == "any size grey, 2 classes for each place"
    assert "Mass in the region" in capsys.readouterr().out


@pytest.mark.framework
def test_the_function_of_the_how_to_opens_with_its_gradient(folder):
    from napari_saliency import explain, load_model

    (folder / "mymodel.py").write_text(blocks("howto/adapter.md"), "utf-8")
    model = load_model("python:mymodel:brain", trust=True, size=(32, 32), channels=3)
    assert model.info.gives >= {"scores", "gradient"}
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert explain(model, image, 0).values.any()


def test_the_method_of_contributing_can_be_registered(monkeypatch):
    """In the module of its family, as step 1 says."""
    from napari_saliency.methods import gradients, registry

    known = dict(registry._METHODS)
    monkeypatch.setattr(registry, "_METHODS", known)
    names = {**vars(gradients), "Annotated": Annotated, "np": np}
    code = f"from __future__ import annotations\n{blocks('../CONTRIBUTING.md')}"
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    (option,) = known["gradient_x_sign"].options
    assert option.help == "Neither bright nor dark, in the model's numbers."
    assert option.default == 0.0
    with pytest.raises(ValueError, match=r"-128\.0 and 255\.0"):
        option.check(256.0)


def test_the_check_of_the_how_to_can_be_registered(monkeypatch):
    from napari_saliency.checks import registry

    known = dict(registry._CHECKS)
    monkeypatch.setattr(registry, "_CHECKS", known)
    names: dict[str, object] = {}
    exec(compile(blocks("howto/check.md"), "check.md", "exec"), names)
    assert known["energy"].options[0].help == "The number, in the map's own units."
