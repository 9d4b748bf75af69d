"""Nothing in a file of PyTorch's runs, reads or writes, however it is hidden; and it does not fill the memory."""

import json
import pickle
import zipfile
from pathlib import Path

import pytest

from napari_saliency import load_model
from napari_saliency.core.errors import ModelError


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

    with pytest.raises(ModelError, match="sizes in it contain executable code"):
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
    with pytest.raises(ModelError, match="read or write files"):
        load_model(tmp_path / "net.pt", size=(8, 8))


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
    with pytest.raises(ModelError, match=r"read or write files|which could read, write or run"):
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
    with pytest.raises(ModelError, match="it would run code while it is opened"):
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
