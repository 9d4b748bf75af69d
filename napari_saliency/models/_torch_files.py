"""PyTorch's files: what is in one, and nothing run that is a program in disguise."""

from __future__ import annotations

import copy
import inspect
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_saliency._types import ModelError
from napari_saliency.models._base import first_line
from napari_saliency.models._sources import shown
from napari_saliency.models._torch_archives import PROGRAM, check_operators, checked_graph, checked_script

try:
    import torch
except ImportError as error:
    raise ModelError(
        "PyTorch is not installed here: pip install 'napari-saliency[torch]', then start again"
    ) from error

WEIGHTS_ALONE = (
    "it holds weights alone: open python:PACKAGE.MODULE:FACTORY?weights={}, where FACTORY is a function "
    "that builds the network"
)
# Where people put the weights in what they save while training.
CHECKPOINTS = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True, eq=False)
class Network:
    """A network in inference mode, without derivatives by its weights.

    Attributes
    ----------
    module : torch.nn.Module
        Takes (N, C, H, W), or volumes (N, C, Z, H, W).
    text : str
        What it computes, as far as it can be written.
    listens : bool
        Whether its modules can be listened to; otherwise layers go by the weights that they use.
    example : (height, width, channels), (z, y, x, channels) or None
        What it was exported for.
    batch : int or None
        The only number of pictures at once that it was exported for.
    """

    module: Any
    text: str
    listens: bool = True
    example: tuple[int, ...] | None = None
    batch: int | None = None

    @property
    def device(self) -> Any:  # noqa: ANN401 - a torch.device
        """Where its weights are."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    @property
    def channels(self) -> int | None:
        """What its first convolution takes."""
        return None if self._kernel is None else int(self._kernel.shape[1])

    @property
    def axes(self) -> int:
        """Axes of space of what it takes, by its first convolution: 2 of pictures, 3 of volumes."""
        return 2 if self._kernel is None else self._kernel.ndim - 2

    @property
    def _kernel(self) -> Any:  # noqa: ANN401 - a tensor, or None
        return next((p for p in self.module.parameters() if p.ndim in (4, 5)), None)

    @property
    def has_weights(self) -> bool:
        """Whether there are any that are known by their layers; a saved graph's are not."""
        return self.listens and any(True for _ in self.module.parameters())

    @property
    def weight_names(self) -> dict[int, str]:
        """Name of the layer of each weight, by the tensor's id."""
        return {id(p): name.rpartition(".")[0] or name for name, p in self.module.named_parameters()}


def open_file(path: Path) -> Network:
    """Open an exported graph or TorchScript.

    Raises
    ------
    ModelError
        If it is neither, or would run a program.
    """
    try:
        return _reader(path)(path)
    except ModelError:
        raise
    except Exception as error:
        said = first_line(error)[:200]
        raise ModelError(f"it is damaged, or of another version of PyTorch ({said})") from error


def as_network(module: Any) -> Network:  # noqa: ANN401 - a Module
    """Make a network of a module, which is left as it is.

    A twin of it is run, made of the same weights.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile was given
    if isinstance(module, torch.jit.ScriptModule):
        return _script(copy.deepcopy(module))
    same: dict[int, Any] = {
        id(p): torch.nn.Parameter(p.detach(), requires_grad=False) for p in module.parameters()
    }
    same |= {id(b): b.detach() for b in module.buffers()}
    try:
        twin = copy.deepcopy(module, same)
    except Exception as error:
        raise ModelError(f"{type(module).__name__} cannot be copied ({error})") from error
    return Network(twin.eval().float(), f"{type(module).__qualname__} {module!r}")


def with_weights(network: Network, path: Path) -> None:
    """Load weights into a network.

    Raises
    ------
    ModelError
        If the file holds anything else, or the weights of another network.
    """
    try:
        weights = _read_weights(path)
    except ModelError as error:
        raise ModelError(f"the weights {shown(path)} could not be read: {error}") from error
    torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(weights, "module.")
    try:
        network.module.load_state_dict(weights)
    except (RuntimeError, AttributeError) as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{shown(path)} holds the weights of another network: {said}") from error


def _reader(path: Path) -> Callable[[Path], Network]:
    """Tell by its parts what a file is, without reading them."""
    if not zipfile.is_zipfile(path):
        return _refuse
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    names = [name.casefold() for name in names]
    if any(name.endswith((".so", ".o", ".cpp")) or "aotinductor/" in name for name in names):
        raise ModelError(
            "it holds compiled code that would run on your machine; save it by torch.export.save"
        )
    if any(name.endswith(("models/model.json", "serialized_exported_program.json")) for name in names):
        return _open_exported
    if any(name.endswith("constants.pkl") for name in names):
        return _open_script
    return _refuse


def _refuse(path: Path) -> Network:
    """Say what a pickle holds; only weights are ever read out of one."""
    _read_weights(path)
    raise ModelError(WEIGHTS_ALONE.format(path))


def _read_weights(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    if not (pickled or zipfile.is_zipfile(path)):
        raise ModelError("it is no file of PyTorch's, or only a part of one: copy it again")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "Weights only load failed" in str(error) or "nsupported" in str(error):
            raise ModelError(PROGRAM) from error
        raise ModelError("it is no file of PyTorch's, or only a part of one: copy it again") from error
    for key in CHECKPOINTS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ModelError("it holds neither a model nor weights")
    return dict(found)


def _open_script(path: Path) -> Network:
    module = torch.jit.load(checked_script(path), map_location="cpu")
    check_operators(module)
    return _script(module)


def _script(module: Any) -> Network:  # noqa: ANN401 - a ScriptModule
    module.eval().float()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Network(module, module.code, listens=False)


def _open_exported(path: Path) -> Network:
    archive = checked_graph(path)
    try:
        with _no_pickles():
            program = torch.export.load(archive)
    except Exception as error:
        if "Weights only load failed" in str(error) or "custom object" in str(error):
            raise ModelError(PROGRAM) from error
        raise
    return exported(program)


def exported(program: Any) -> Network:  # noqa: ANN401 - an ExportedProgram
    """Make a network of an exported graph; what chance and company there is in it is switched off."""
    shapes = [
        node.meta["val"].shape
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    ]
    if len(shapes) != 1 or len(shapes[0]) not in (4, 5):
        taken = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ModelError(
            f"it takes {taken or 'nothing'}; a picture's shape is (pictures, channels, height, width), "
            "a volume's (volumes, channels, z, y, x)"
        )
    guarded = "check_guards" in inspect.signature(program.module).parameters
    module = program.module(**({"check_guards": False} if guarded else {}))  # guards are texts to be executed
    _switch_off_training(module)
    module.requires_grad_(False)
    precision = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    if precision != torch.float32:
        module.register_forward_pre_hook(lambda _, given: (given[0].to(precision),), prepend=True)
    sizes = [size if isinstance(size, int) else None for size in shapes[0]]
    example = _example(program, sizes)
    return Network(module, module.code, listens=False, example=example, batch=sizes[0])


def _example(program: Any, sizes: list[int | None]) -> tuple[int, ...] | None:  # noqa: ANN401
    """Size and channels of what a graph was exported for."""
    arguments = (program.example_inputs or ((), {}))[0]
    if arguments:
        sizes = [sizes[0], *arguments[0].shape[1:]]
    found = tuple(size for size in (*sizes[2:], sizes[1]) if size)
    return found if len(found) == len(sizes) - 1 else None


def _switch_off_training(module: Any) -> None:  # noqa: ANN401 - a GraphModule
    """Set what says training in a graph's operations; its eval() does not."""
    for node in module.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for number, argument in enumerate(schema.arguments if schema else ()):
            if (
                argument.name in ("train", "training")
                and number < len(node.args)
                and node.args[number] is True
            ):
                node.update_arg(number, False)
    module.recompile()


@contextmanager
def _no_pickles() -> Iterator[None]:
    """Read tensors alone: torch.export.load would go on to whole pickles where that fails."""
    key = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before
