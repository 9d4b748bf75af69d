"""Nothing of a user's Python runs before somebody's yes, and pickles never do."""

import json
import sys
from pathlib import Path

import pytest

from napari_saliency import load_model, models
from napari_saliency.core.errors import ModelError, UntrustedError
from napari_saliency.models import needs_trust, trust

CANARY = "from pathlib import Path\nPath({canary!r}).touch()\n"

FUNCTION = "def scores(x):\n    return x.mean((1, 2))\n"


@pytest.fixture
def package(tmp_path, canary, monkeypatch, request):
    """The name of a module in a package, both of which leave a trace when they run."""
    name = "pkg_" + request.node.name.partition("[")[0]
    folder = tmp_path / "modules" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(CANARY.format(canary=str(canary)), "utf-8")
    (folder / "nets.py").write_text(CANARY.format(canary=str(canary)) + FUNCTION, "utf-8")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield name
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        del sys.modules[module]


def file_of(package):
    return Path(next(p for p in sys.path if (Path(p) / package).is_dir())) / package / "nets.py"


def test_nothing_runs_without_a_yes_and_the_message_says_what_would(package, canary):
    source = f"python:{package}.nets:scores"
    assert needs_trust(source)
    with pytest.raises(
        UntrustedError, match=r"runs the program .*nets\.py on your machine: if you know it, say yes"
    ):
        load_model(source)
    assert not canary.exists()
    assert package not in sys.modules


def test_folders_in_folders_need_no_init(package, canary):
    """Python takes them for packages, too; nothing of them is imported to find that out."""
    folder = file_of(package).parent
    (folder / "__init__.py").unlink()
    (folder / "inner").mkdir()
    (folder / "nets.py").rename(folder / "inner" / "nets.py")
    with pytest.raises(ModelError, match="no module"):
        needs_trust(f"python:{package}.other.nets:scores")
    source = f"python:{package}.inner.nets:scores"
    assert needs_trust(source)
    assert not canary.exists()
    assert load_model(source, size=(4, 4), trust=True).info.name == "scores"


def test_a_yes_for_one_call_is_not_remembered(package, canary):
    source = f"python:{package}.nets:scores"
    assert load_model(source, size=(4, 4), trust=True).info.name == "scores"
    assert canary.exists()
    assert needs_trust(source)


def test_a_yes_is_remembered_until_a_file_changes(package, canary):
    source = f"python:{package}.nets:scores"
    trust(source)
    trust(source)
    assert not needs_trust(source)
    assert not canary.exists()
    assert load_model(source, size=(4, 4)).info.source == source
    for path in (file_of(package), file_of(package).with_name("__init__.py")):
        before = path.read_text("utf-8")
        path.write_text(before + "\n# changed\n", "utf-8")
        assert needs_trust(source)
        path.write_text(before, "utf-8")
        assert not needs_trust(source)


def test_a_yes_to_one_module_is_none_to_a_copy_of_another_name(package):
    trust(f"python:{package}.nets:scores")
    file_of(package).with_name("others.py").write_bytes(file_of(package).read_bytes())
    assert needs_trust(f"python:{package}.others:scores")


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_spoiled_list_of_yeses_is_a_no(package, text):
    from napari_saliency.models.python.trust import trusted_path

    source = f"python:{package}.nets:scores"
    trust(source)
    assert str(file_of(package)) in json.loads(trusted_path().read_text("utf-8")).values()
    trusted_path().write_text(text, "utf-8")
    assert needs_trust(source)


def test_what_cannot_run_code_needs_no_yes():
    assert not needs_trust("bundled:digits")
    trust("bundled:digits")
    assert not needs_trust("keras:VGG16")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("python:no_such_module:net", "there is no module 'no_such_module': install it, or set PYTHONPATH"),
        ("python:json.no_such:net", r"there is no module 'json\.no_such'"),
        ("python:json.decoder.deeper:net", r"there is no module 'json\.decoder\.deeper'"),
        ("python:sys:exit", "'sys' is a part of Python"),
        ("python:net", "'python:net' is not understood: write python:PACKAGE.MODULE:NAME"),
        ("python:a b:net", "is not understood"),
        ("python:a:b?weight=c", "'weight=c' is not understood: write python:a:b"),
        ("python:a:b?weights=/no/such.pth", "there is no weights file '/no/such.pth'"),
    ],
)
def test_what_is_not_there_is_told(source, message):
    with pytest.raises(ModelError, match=message):
        needs_trust(source)


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("1 / 0", "net", r"nets cannot be imported \(ZeroDivisionError"),
        ("def other(): pass", "net", r"nets has no 'net'; it has other"),
        ("net = 3", "net", "net is neither a network nor a function, but int"),
        ("def net(): raise OSError('no weights')", "net", "net could not be built: OSError: no weights"),
        ("def net(): return 3", "net", "net is neither a network nor a function, but int"),
    ],
)
def test_what_is_wrong_with_a_module_is_told(package, code, name, message):
    file_of(package).write_text(code, "utf-8")
    with pytest.raises(ModelError, match=message):
        load_model(f"python:{package}.nets:{name}", trust=True)


def test_a_function_takes_no_weights(package, tmp_path):
    with pytest.raises(ModelError, match="scores is a function of pictures, which takes no weights"):
        load_model(f"python:{package}.nets:scores?weights={__file__}", trust=True)


def test_a_source_is_written_as_it_is_read(package):
    for source in (
        f"python:{package}.nets:scores",
        f"python:{package}.nets:scores?weights={Path(__file__).resolve()}",
    ):
        assert str(models.parse(source)) == source


def test_cached_bytecode_never_runs_in_place_of_the_text(package, canary):
    import py_compile

    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    file_of(package).with_name("helper.py").write_text("N = 1\n", "utf-8")
    for name, text in (
        ("__init__", ""),
        ("helper", "N = 1\n"),
        ("nets", f"from {package}.helper import N\n" + FUNCTION),
    ):
        path = file_of(package).with_name(f"{name}.py")
        path.write_text(CANARY.format(canary=str(canary)) + text, "utf-8")
        py_compile.compile(str(path), invalidation_mode=unchecked)
        path.write_text(text, "utf-8")
    trust(f"python:{package}.nets:scores")
    assert load_model(f"python:{package}.nets:scores", size=(4, 4)).info.labels
    assert sys.modules[f"{package}.helper"].N == 1
    assert not canary.exists()


@pytest.mark.parametrize(
    ("statement", "helper"),
    [
        ("from .helper import N", "helper.py"),
        ("from . import helper", "helper.py"),
        ("from {package}.helper import N", "helper.py"),
        ("from {package} import helper", "helper.py"),
        ("import {package}.deeper.helper", "deeper/helper.py"),
        ("from .deeper import helper", "deeper/__init__.py"),
        ("from .between import N", "helper.py"),
        ("def later():\n    from .helper import N", "helper.py"),
        ("from {package}_beside import N", "../{package}_beside.py"),
    ],
)
def test_what_a_module_imports_from_beside_it_is_part_of_the_yes(package, statement, helper):
    folder = file_of(package).parent
    (folder / "deeper").mkdir()
    for name in ("helper", "deeper/__init__", "deeper/helper", f"../{package}_beside"):
        (folder / f"{name}.py").write_text("N = 1\n", "utf-8")
    (folder / "between.py").write_text("from .helper import N\n", "utf-8")
    file_of(package).write_text(statement.format(package=package) + "\n" + FUNCTION, "utf-8")
    source = f"python:{package}.nets:scores"
    trust(source)
    assert not needs_trust(source)
    (folder / helper.format(package=package)).write_text("N = 2\n", "utf-8")
    assert needs_trust(source)


def test_what_is_not_imported_or_installed_is_no_part_of_the_yes(package):
    file_of(package).write_text("import json, numpy\n" + FUNCTION, "utf-8")
    source = f"python:{package}.nets:scores"
    before = models.program_version(source)
    file_of(package).with_name("other.py").write_text("1 / 0", "utf-8")
    assert models.program_version(source) == before
    assert models.program_version("bundled:digits") == ""
    assert models.program_version("python:json.decoder:JSONDecoder")


CLASSES = (
    "import numpy as np\n{head}\ndef scores(x):\n    return np.tile(x.mean((1, 2)), (1, {n}))[:, :{n}]\n"
)


@pytest.mark.parametrize("where", ["nets", "helper"])
def test_what_was_edited_and_approved_again_runs_anew(package, where):
    def write(n):
        helper = f"N = {n}\n"
        file_of(package).with_name("helper.py").write_text(helper if where == "helper" else "", "utf-8")
        text = CLASSES.format(head="from .helper import N", n="N") if where == "helper" else ""
        file_of(package).write_text(text or CLASSES.format(head="", n=n), "utf-8")

    source = f"python:{package}.nets:scores"
    for n in (3, 5, 4):
        write(n)
        assert needs_trust(source)
        trust(source)
        model = load_model(source, size=(4, 4))
        assert len(model.info.labels) == n
        module = sys.modules[f"{package}.nets"]
        load_model(source, size=(4, 4))
        assert sys.modules[f"{package}.nets"] is module  # once is enough


def test_a_module_that_its_user_imported_is_that_one_and_can_be_reloaded(package, monkeypatch):
    from importlib import import_module, reload

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = f"python:{package}.nets:scores"
    module = import_module(f"{package}.nets")
    load_model(source, size=(4, 4), trust=True)
    assert sys.modules[f"{package}.nets"] is module
    file_of(package).write_text("N = 7\n" + FUNCTION, "utf-8")
    assert reload(module).N == 7


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\np.parse_args([])",
            r"nets ends Python when it is imported \(SystemExit: 2\): .* __name__ == '__main__'",
        ),
        ("class Stop(BaseException): pass\nraise Stop('x')", r"nets cannot be imported \(Stop: x\)"),
        ("def net(): raise SystemExit(3)", "net could not be built: SystemExit: 3"),
        ("def net(x): raise SystemExit(3)", "net could not be run on .*SystemExit: 3"),
        (
            "class net:\n    def __init__(self, depth, width, wide=1): pass",
            r"net is a class that takes arguments \(depth, width\): name a function without any",
        ),
    ],
)
def test_a_module_that_ends_python_or_asks_for_more_is_told(package, code, message, capsys):
    file_of(package).write_text(code, "utf-8")
    with pytest.raises(ModelError, match=message):
        load_model(f"python:{package}.nets:net", trust=True)


def test_a_keyboard_interrupt_is_the_users(package):
    file_of(package).write_text("raise KeyboardInterrupt", "utf-8")
    with pytest.raises(KeyboardInterrupt):
        load_model(f"python:{package}.nets:net", trust=True)
