"""PyTorch's files: what is in one, and nothing run that is a program in disguise."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves, tree_unflatten

from napari_saliency.core.errors import ModelError
from napari_saliency.models.error_messages import reason
from napari_saliency.models.safety import Checked, check
from napari_saliency.models.safety.torch_archives import NO_FILE, PROGRAM, check_operators
from napari_saliency.models.sources import display_path
from napari_saliency.models.torch.network import TensorSpec, TorchNetwork, by_name

if TYPE_CHECKING:
    from io import BytesIO

WEIGHTS_ALONE = (
    "it holds weights alone: open python:PACKAGE.MODULE:FACTORY?weights={}, where FACTORY is a function "
    "that builds the network"
)
# Where people put the weights in what they save while training.
CHECKPOINTS = ("state_dict", "model_state_dict", "model")


def open_file(checked: Checked) -> TorchNetwork:
    """Open an exported graph or TorchScript that was looked through.

    Raises
    ------
    ModelError
        If it is neither, or would run a program.
    """
    open_content = {"exported": _open_exported, "script": _open_script}.get(checked.content.kind)
    try:
        if open_content is None:
            return _refuse(checked.path)
        return open_content(checked.content.archive)
    except ModelError:
        raise
    except Exception as error:
        given = reason(error)[:200]
        raise ModelError(f"it is damaged, or of another version of PyTorch ({given})") from error


def as_network(module: Any) -> TorchNetwork:  # noqa: ANN401 - a Module
    """Make a network of a module, which is left as it is.

    A twin of it is run, made of the same weights.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile was given
    if isinstance(module, torch.jit.ScriptModule):
        with torch.no_grad():  # or else weights that can be trained are copied with where they come from
            return _script(copy.deepcopy(module))
    same: dict[int, Any] = {
        id(p): torch.nn.Parameter(p.detach(), requires_grad=False) for p in module.parameters()
    }
    same |= {id(b): b.detach() for b in module.buffers()}
    try:
        twin = copy.deepcopy(module, same)
    except Exception as error:
        raise ModelError(f"{type(module).__name__} cannot be copied ({error})") from error
    specs = _required(twin.forward)
    return TorchNetwork(twin.eval().float(), f"{type(module).__qualname__} {module!r}", by_name(twin), *specs)


def with_weights(network: TorchNetwork, path: Path) -> None:
    """Load weights into a network.

    Raises
    ------
    ModelError
        If the file holds anything else, or the weights of another network.
    """
    try:
        check(path, "torch")
        weights = _read_weights(path)
    except ModelError as error:
        raise ModelError(f"the weights {display_path(path)} could not be read: {error}") from error
    torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(weights, "module.")
    try:
        network.module.load_state_dict(weights)
    except (RuntimeError, AttributeError) as error:
        given = " ".join(str(error).split())[:300]
        raise ModelError(f"{display_path(path)} holds the weights of another network: {given}") from error


def _refuse(path: Path) -> TorchNetwork:
    """Say what a pickle holds; only weights are ever read out of one."""
    _read_weights(path)
    raise ModelError(WEIGHTS_ALONE.format(path))


def _read_weights(path: Path) -> dict[str, Any]:
    try:
        result = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "Weights only load failed" in str(error) or "nsupported" in str(error):
            raise ModelError(PROGRAM) from error
        raise ModelError(NO_FILE) from error
    for key in CHECKPOINTS:
        if isinstance(result, dict) and isinstance(result.get(key), dict):
            result = result[key]
    if not isinstance(result, dict) or not all(isinstance(value, torch.Tensor) for value in result.values()):
        raise ModelError("it holds neither a model nor weights")
    return dict(result)


def _open_script(archive: BytesIO) -> TorchNetwork:
    module = torch.jit.load(archive, map_location="cpu")
    check_operators(module)
    return _script(module)


def _script(module: Any) -> TorchNetwork:  # noqa: ANN401 - a ScriptModule
    module.eval().float()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    must = [each.name for each in module.forward.schema.arguments[1:] if not each.has_default_value()]
    first, *others = map(TensorSpec, must or ["x"])
    loops = bool(module.inlined_graph.findAllNodes("prim::Loop"))
    return TorchNetwork(
        module, module.code, by_name(module), first, tuple(others), listens=False, loops=loops
    )


def _required(forward: Callable[..., Any]) -> tuple[TensorSpec, tuple[TensorSpec, ...]]:
    """Find what a module must be given: the first input, and others."""
    with suppress(ValueError, TypeError):  # what is not written in Python does not tell
        parameters = inspect.signature(forward).parameters.values()
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        must = [each for each in parameters if each.kind in named and each.default is each.empty]
        first, *others = map(TensorSpec, [each.name for each in must] or ["x"])
        return first, tuple(others)
    return TensorSpec("x"), ()


def _open_exported(archive: BytesIO) -> TorchNetwork:
    try:
        with _no_pickles():
            program = torch.export.load(archive)
    except Exception as error:
        if "Weights only load failed" in str(error) or "custom object" in str(error):
            raise ModelError(PROGRAM) from error
        raise
    return exported(program)


def exported(program: Any) -> TorchNetwork:  # noqa: ANN401 - an ExportedProgram
    """Make a network of an exported graph; what chance and company there is in it is switched off."""
    guarded = "check_guards" in inspect.signature(program.module).parameters
    module = program.module(**({"check_guards": False} if guarded else {}))  # guards are texts to be executed
    _switch_off_training(module)
    module.requires_grad_(False)
    given = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    constants = {each.name: each.value for each in given if hasattr(each, "value")}
    specs = _exported_inputs(program, [each.name for each in given])
    if not specs:
        raise ModelError("it has no inputs, so it is not an image classifier")

    def call(inputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        values = [constants[each.name] if each.name in constants else inputs[each.name] for each in given]
        arguments, named = tree_unflatten(values, program.call_spec.in_spec)
        return module(*arguments, **named)

    return TorchNetwork(module, module.code, call, specs[0], tuple(specs[1:]), listens=False)


def _exported_inputs(program: Any, names: list[str]) -> list[TensorSpec]:  # noqa: ANN401
    """Return the tensors that a graph takes; sizes that are free are words."""
    tensors = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    examples = dict(zip(names, tree_leaves(program.example_inputs or ()), strict=False))
    return [
        TensorSpec(
            name,
            tuple(size if isinstance(size, int) else str(size) for size in tensors[name].shape),
            tensors[name].dtype,
            tuple(examples[name].shape) if isinstance(examples.get(name), torch.Tensor) else None,
        )
        for name in names
        if isinstance(tensors.get(name), torch.Tensor)
    ]


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
