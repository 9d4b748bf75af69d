"""Nothing of a user's Python runs before somebody's yes, and pickles never do."""

import json
import pickle
import sys
import zipfile
from pathlib import Path

import pytest

from napari_saliency import load_model, models
from napari_saliency.core.errors import ModelError, UntrustedError
from napari_saliency.models import needs_trust, trust

CANARY = "from pathlib import Path\nPath({canary!r}).touch()\n"
FUNCTION = "def scores(x):\n    return x.mean((1, 2))\n"


@pytest.fixture
def canary(tmp_path):
    """A file that is there as soon as something has run."""
    return tmp_path / "canary"


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


class Bomb:
    """A pickle that leaves a trace when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.framework
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ts", ".pt2"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_pickles_are_refused_and_never_run(tmp_path, canary, suffix, legacy):
    torch = pytest.importorskip("torch")
    path = tmp_path / f"net{suffix}"
    torch.save({"weights": Bomb(canary)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ModelError, match="a pickle is a program that would run on your machine; save the model with"
    ):
        load_model(path, trust=True)
    path.write_bytes(pickle.dumps(Bomb(canary)))
    with pytest.raises(ModelError, match="could not be opened"):
        load_model(path)
    assert not canary.exists()
    torch.load(tmp_path / "x", weights_only=False) if (tmp_path / "x").exists() else pickle.loads(
        path.read_bytes()
    )
    assert canary.exists()  # the bomb is one


def exported(tmp_path, replace):
    """An exported graph, some of whose parts are replaced."""
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    program = torch.export.export(
        net, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("n")},)
    )
    torch.export.save(program, tmp_path / "whole.pt2")
    with zipfile.ZipFile(tmp_path / "whole.pt2") as old, zipfile.ZipFile(tmp_path / "net.pt2", "w") as new:
        for name in old.namelist():
            new.writestr(name, replace(name, old.read(name)))
    return tmp_path / "net.pt2"


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_exported_graph_opens_and_its_pickles_do_not_run(tmp_path, canary):
    torch = pytest.importorskip("torch")
    assert load_model(exported(tmp_path, lambda _, content: content)).info.input.description == "8×8 RGB"
    bomb = tmp_path / "bomb.pt"
    torch.save(((Bomb(canary),), {}), bomb)
    with pytest.raises(ModelError, match="a pickle is a program"):
        load_model(exported(tmp_path, lambda n, c: bomb.read_bytes() if "sample_inputs" in n else c))
    assert not canary.exists()


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "code",
    [
        "__import__('pathlib').Path('{}').touch()",
        "S('__import__(\\'pathlib\\').Path(\\'{}\\').touch()')",
        "1 +",
    ],
)
def test_sizes_that_are_programs_do_not_run(tmp_path, canary, code):
    def replace(name, content):
        if not name.endswith("model.json"):
            return content
        result = json.loads(content)

        def spoil(value):
            if isinstance(value, dict):
                return {k: code.format(canary) if k == "expr_str" else spoil(v) for k, v in value.items()}
            return [spoil(v) for v in value] if isinstance(value, list) else value

        assert "expr_str" in json.dumps(result)
        return json.dumps(spoil(result)).encode()

    with pytest.raises(ModelError, match="its sizes are no numbers but a program"):
        load_model(exported(tmp_path, replace))
    assert not canary.exists()


@pytest.mark.framework
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_that_writes_files_is_refused(tmp_path, canary):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def forward(self, x, name: str = "x"):
            torch.save(x, name)
            return x.mean((2, 3))

    try:
        torch.jit.save(torch.jit.script(Net()), tmp_path / "net.pt")
    except RuntimeError as error:
        pytest.skip(f"this PyTorch writes no such TorchScript: {error}")
    with pytest.raises(ModelError, match="reads or writes files"):
        load_model(tmp_path / "net.pt", size=(8, 8))


# What PyTorch would run besides pickles ----------------------------------------------------------

loud = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def in_json(change):
    """Change the graph of an exported model."""

    def replace(name, content):
        if not name.endswith("model.json"):
            return content
        result = json.loads(content)
        change(result)
        return json.dumps(result).encode()

    return replace


@pytest.mark.framework
@loud
def test_guards_are_not_executed(tmp_path, canary):
    code = f"__import__('pathlib').Path({str(canary)!r}).touch() is None"
    model = load_model(exported(tmp_path, in_json(lambda result: result.update(guards_code=[code]))))
    assert model.info.input.description == "8×8 RGB"
    assert not canary.exists()


def first_node(result):
    return result["graph_module"]["graph"]["nodes"][0]


@pytest.mark.framework
@loud
@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.debugprims.load_tensor.default",
        "torch.os.system",
        "torch.ops.higher_order.call_torchbind",
        "_operator.call",
    ],
)
def test_operators_that_do_more_than_compute_are_refused(tmp_path, target):
    with pytest.raises(ModelError, match=r"reads or writes files|which could read, write or run"):
        load_model(exported(tmp_path, in_json(lambda result: first_node(result).update(target=target))))


@pytest.mark.framework
@loud
def test_names_that_are_programs_do_not_run(tmp_path, canary):
    evil = f"x=__import__('pathlib').Path({str(canary)!r}).touch()"

    def rename(name, content):
        if not name.endswith("model.json"):
            return content
        result = json.loads(content)

        def renamed(value):
            if isinstance(value, dict):
                return {evil if k == "input" else k: renamed(v) for k, v in value.items()}
            if isinstance(value, list):
                return [renamed(v) for v in value]
            return evil if value == "input" else value

        assert '"input"' in content.decode()
        return json.dumps(renamed(result)).encode()

    with pytest.raises(ModelError, match="names in it contain executable code"):
        load_model(exported(tmp_path, rename))
    assert not canary.exists()


@pytest.mark.framework
@loud
def test_objects_of_other_kinds_are_refused_wherever_they_lie(tmp_path):
    def replace(name, content):
        if not name.endswith("constants_config.json"):
            return content
        return json.dumps({"config": {"a": {"path_name": "opaque_obj/x", "use_pickle": True}}}).encode()

    with pytest.raises(ModelError, match="a pickle is a program"):
        load_model(exported(tmp_path, replace))


LINE = "    convolution = self.convolution\n"


def scripted(tmp_path, replace):
    """TorchScript, the text of which is replaced."""
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.relu(self.convolution(x)).mean((2, 3))

    torch.jit.save(torch.jit.script(Net()), tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as old, zipfile.ZipFile(tmp_path / "net.pt", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            ours = LINE.encode() in content and name.endswith(".py")
            for changed in replace(content.decode()) if ours else [content]:
                new.writestr(name, changed)
    return tmp_path / "net.pt"


@pytest.mark.framework
@loud
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "replace",
    [
        lambda s, f: [s.replace(LINE, LINE + f'    torch. save(x, "{f}")\n')],
        lambda s, f: [s.replace(LINE, LINE + f'    ops.aten. save(x, "{f}")\n')],
        lambda s, f: [s.replace(LINE, LINE + f'    torch .from_file("{f}", True, 16)\n')],
        lambda s, f: [s.replace(LINE, LINE + f'    x.save("{f}")\n')],
        lambda s, f: [s.replace(LINE, LINE + f'    getattr(torch, "\\163ave")(x, "{f}")\n')],
        lambda s, f: [s.replace("x: Tensor)", f'x: Tensor, y: int=x.save("{f}"))')],
        lambda s, f: [s + f'  def __setstate__(self, state: int) -> None:\n    x.save("{f}")\n'],
        lambda s, f: [s.replace("  def ", f'  y : Final[int] = x.save("{f}")\n  def ')],
        lambda s, f: [s.replace(LINE, LINE + f'    torch.save(x, "{f}")\n'), s],
    ],
    ids=["space", "ops", "from_file", "method", "escape", "default", "setstate", "constant", "twice"],
)
def test_torchscript_that_writes_in_any_spelling_is_refused(tmp_path, canary, replace):
    path = scripted(tmp_path, lambda text: replace(text, canary))
    with pytest.raises(ModelError, match="could not be opened"):
        load_model(path, size=(8, 8))
    assert not canary.exists()


DEEP = {
    "brackets": "(" * 100_000 + "5" + ")" * 100_000,
    "signs": "-" * 100_000 + "5",
    "a sum": "5" + " + 5" * 100_000,
    "a sum in brackets": "(5" + " +\n      5" * 100_000 + ")",
}


@pytest.mark.framework
@loud
@pytest.mark.parametrize("value", DEEP.values(), ids=DEEP)
def test_torchscript_too_deep_to_be_read_does_not_end_the_process(tmp_path, value):
    path = scripted(tmp_path, lambda text: [text.replace(LINE, f"{LINE}    y = {value}\n")])
    with pytest.raises(ModelError, match="longer or deeper than any that PyTorch writes"):
        load_model(path, size=(8, 8))


@pytest.mark.framework
@loud
@pytest.mark.parametrize(
    "replace",
    [
        lambda s: s.replace("x: Tensor)", "x: Tensor, y: List[int]=[0]*9)"),
        lambda s: s.replace("  def ", "  y : Final[List[int]] = [0]*9\n  def "),
    ],
    ids=["default", "constant"],
)
def test_torchscript_that_fills_the_memory_while_it_is_read_is_refused(tmp_path, replace):
    with pytest.raises(ModelError, match="it would run a program while it is opened"):
        load_model(scripted(tmp_path, lambda text: [replace(text)]), size=(8, 8))


@pytest.mark.framework
@loud
@pytest.mark.parametrize("activation", ["pt", "pt2", "pth"])
def test_an_archive_that_grows_a_thousandfold_is_not_read(tmp_path, activation):
    torch = pytest.importorskip("torch")
    whole = scripted(tmp_path, lambda text: [text]) if activation == "pt" else tmp_path / "whole.pth"
    if activation == "pth":
        torch.save({"a": torch.zeros(9)}, whole)
    if activation == "pt2":
        whole = exported(tmp_path, lambda _, content: content)
    path = tmp_path / f"big.{activation}"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr(f"{old.namelist()[0].partition('/')[0]}/data/zeros", bytes(60_000_000))
    with pytest.raises(ModelError, match="nothing of it was read"):
        load_model(path, size=(8, 8))


SYMBOL = "Symbol('s0', positive=True, integer=True)"
LONG = {
    "a power": "Pow(Integer(10), Pow(Integer(10), Integer(10)))",
    "an operator": "9 ** 9 ** 9",
    "powers of powers": f"Pow(Pow(Pow({SYMBOL}, Integer(8)), Integer(8)), Integer(8))",
    "shift": "1 << 10 ** 9",
    "a polynomial": f"Pow(Add({SYMBOL}, Integer(1)), Integer(400))",
    "a maximum": "Max(" + ", ".join(f"Symbol('a{i}')" for i in range(300)) + ")",
    "long": "Add(" * 900 + SYMBOL + ")" * 900,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_sizes_that_take_hours_to_work_out_are_refused(text):
    from napari_saliency.models.safety import torch_archives

    assert not torch_archives._is_size(text)


@pytest.mark.parametrize(
    "text",
    [
        SYMBOL,
        f"Pow({SYMBOL}, Integer(2))",
        f"Pow({SYMBOL}, Integer(-1))",
        f"Pow({SYMBOL}, Rational(1, 2))",
        f"Mul(Integer(56), Max(Integer(1), Add({SYMBOL}, Integer(-2))))",
        "FloorDiv(" * 20 + SYMBOL + ", Integer(2))" * 20,
    ],
)
def test_sizes_of_networks_are_worked_out(text):
    from napari_saliency.models.safety import torch_archives

    assert torch_archives._is_size(text)


@pytest.mark.framework
@loud
def test_torchscript_as_it_was_saved_opens(tmp_path):
    assert (
        load_model(scripted(tmp_path, lambda text: [text]), size=(8, 8)).info.input.description == "8×8 RGB"
    )


@pytest.mark.framework
def test_a_file_of_random_bytes_is_no_program(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "net.pt").write_bytes(bytes(range(7, 250)) * 9)
    with pytest.raises(ModelError, match="not a valid PyTorch file"):
        load_model(tmp_path / "net.pt")
