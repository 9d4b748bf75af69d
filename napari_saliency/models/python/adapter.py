"""Models that Python builds: ``python:package.module:name``, opened after somebody's yes.

The name may stand for a network of PyTorch's or Keras', for a function without parameters that builds
one, or for a function of pictures.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.python.trust import import_trusted

if TYPE_CHECKING:
    from napari_saliency.models.base import Model
    from napari_saliency.models.safety import Checked
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.sources import Source

# Base classes of networks, by name: asking for the class itself would import its framework.
TORCH, KERAS = "torch.nn.modules.module.Module", "keras.src.models.model.Model"


def open_source(
    source: Source, settings: Settings, *, trust: bool = False, checked: Checked | None = None
) -> Model:
    """Open what a module of Python names.

    Parameters
    ----------
    trust : bool
        Whether the module may run, remembered or not.
    checked : None
        A file of weights is looked through once it is known whose they are.

    Raises
    ------
    UntrustedError
        If nobody has said that the module may run.
    ModelError
        If it cannot be opened; the message says why and what to do.
    """
    result = _built(_named(source, trust=trust), source)
    bases = {f"{base.__module__}.{base.__qualname__}" for base in type(result).__mro__}
    if TORCH in bases:
        from napari_saliency.models.torch import adapter as torch_adapter

        return torch_adapter.open_module(result, source, settings)
    if KERAS in bases:
        from napari_saliency.models.keras import files as keras_files

        return keras_files.open_network(result, source, settings)
    if not callable(result):
        raise ModelError(f"{source.name} is neither a network nor a function, but {type(result).__name__}")
    if source.path is not None:
        raise ModelError(f"{source.name} is a function of pictures, which takes no weights")
    from napari_saliency.models.python.function import CallableModel

    return CallableModel(result, source, settings)


def _named(source: Source, *, trust: bool) -> Any:  # noqa: ANN401 - whatever the user's module holds
    module = import_trusted(source.module, source, trust=trust)
    try:
        return getattr(module, source.attribute)
    except AttributeError:
        names = ", ".join(name for name in vars(module) if not name.startswith("_"))
        raise ModelError(
            f"the module {source.module} has no {quote(source.attribute)}; it has {names}"
        ) from None


def _built(result: Any, source: Source) -> Any:  # noqa: ANN401 - whatever the user's module holds
    """Call what builds a network; anything else is returned as it is."""
    if not (inspect.isfunction(result) or inspect.isclass(result) or inspect.isbuiltin(result)):
        return result
    required = _required(result)
    if required and inspect.isclass(result):
        raise ModelError(
            f"{source.name} is a class that takes arguments ({', '.join(required)}): "
            "name a function without any that builds it"
        )
    if required:
        return result
    try:
        return result()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{source.name} could not be built: {type(error).__name__}: {error}") from error


def _required(function: Any) -> list[str]:  # noqa: ANN401 - anything callable
    """Return the names of the arguments that must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return ["..."]
    named = (p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return [p.name for p in named if p.default is p.empty]
