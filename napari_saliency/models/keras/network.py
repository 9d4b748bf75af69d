"""A Keras network as a function of one picture: what it takes, and how it is run.

Its picture may come with the channels first, in whole numbers, or beside other inputs; it may have several
outputs. All that is settled here, so that the rest sees pictures (N, H, W, C), or volumes (N, Z, H, W, C),
float32 and one output.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.io_selection import NO_ZEROS, select_io, several
from napari_saliency.models.keras.tracing import Recorded, all_layers, channels_first, record
from napari_saliency.models.sources import Source, family

if TYPE_CHECKING:
    from napari_saliency.models.keras.folding import Folding
    from napari_saliency.models.keras.rules import TracedRule
    from napari_saliency.models.settings import Settings

Tensor = Any
Size = tuple[int | None, ...]


class PictureSpec(NamedTuple):
    """The form in which a network takes its picture.

    Attributes
    ----------
    shape : (height, width, channels), or (z, y, x, channels)
        None for a size that is free.
    first : bool
        Whether the network itself wants the channels before the axes of space.
    dtype : tf.DType
        Of the network's input.
    """

    shape: Size
    first: bool
    dtype: Any

    @classmethod
    def of(cls, shape: Size, dtype: Any, *, first: bool | None = None) -> PictureSpec:  # noqa: ANN401
        """Understand an input's shape, batch included; `first` where it says nothing.

        Raises
        ------
        ModelError
            If it is not a picture's.
        """
        if len(shape) not in (4, 5):
            raise _no_picture(shape)
        if not (tf.as_dtype(dtype).is_floating or tf.as_dtype(dtype).is_integer):
            raise ModelError(
                f"the model takes inputs of type {tf.as_dtype(dtype).name}; a picture is numbers"
            )
        colours = [size in (1, 3) for size in (shape[1], shape[-1])]
        # A size that only channels have tells; else what the layers say.
        first = colours[0] if colours[0] != colours[1] else bool(first)
        sizes = (*shape[2:], shape[1]) if first else shape[1:]
        if not sizes[-1]:
            raise _no_picture(shape)
        return cls(tuple(sizes), first, tf.as_dtype(dtype))

    def given(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bring pictures (N, H, W, C) to what the network takes: before and after its type is that."""
        before = channels_first(x) if self.first else x
        if self.dtype.is_integer:
            return before, tf.saturate_cast(tf.round(before), self.dtype)
        return before, before if self.dtype == before.dtype else tf.cast(before, self.dtype)


def _no_picture(shape: Size) -> ModelError:
    return ModelError(
        f"the model takes inputs of shape {tuple(shape)}; a picture's is (pictures, height, width, channels), "
        "a volume's (volumes, z, y, x, channels)"
    )


class TraceableNetwork(Protocol):
    """A network as `KerasModel` needs it.

    Attributes
    ----------
    picture : PictureSpec
        What it takes.
    inputs, outputs : tuple of str
        Names of its inputs and outputs where several may be meant, the chosen one first.
    zeroed : tuple of str
        Names of the inputs that are given zeros.
    kinds : dict of str to str
        What each layer is, by its own name.
    """

    picture: PictureSpec
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    zeroed: tuple[str, ...]

    @property
    def kinds(self) -> dict[str, str]: ...
    def record(self, folding: Folding | None, rule: TracedRule | None, x: Tensor) -> Recorded: ...
    def fingerprint(self, path: Path | None) -> str: ...
    def guess(self, source: Source) -> tuple[str, bool]: ...


class KerasNetwork:
    """A keras.Model.

    Parameters
    ----------
    network : keras.Model
        In inference mode whatever its own setting.
    settings : Settings
        Of which ``input`` and ``output`` count here; other inputs are given zeros.

    Raises
    ------
    ModelError
        If it does not take one picture, and nothing else that is not given.
    """

    def __init__(self, network: Any, settings: Settings) -> None:  # noqa: ANN401
        self._network = network
        shapes, ends = _named_shapes(network), _symbolic(network, "output")
        self._named = len(shapes) > 1 and isinstance(getattr(network, "input", None), dict)
        self._input = select_io("input", shapes, settings.input, 4, 5)
        self.zeroed = tuple(name for name in shapes if name != self._input)
        self._others = {name: shape for name, shape in shapes.items() if name != self._input}
        self._order = tuple(shapes)
        self._dtypes = {name: spec.dtype for name, spec in _symbolic(network, "input").items()}
        first = any(getattr(layer, "data_format", "") == "channels_first" for layer in all_layers(network))
        self.picture = PictureSpec.of(
            shapes[self._input], self._dtypes.get(self._input, "float32"), first=first
        )
        self._ends = tuple(ends)
        shapes_out = {name: tuple(end.shape) for name, end in ends.items()} or {"output": ()}
        self.output = select_io("output", shapes_out, settings.output, 2)
        self.inputs, self.outputs = several(shapes, self._input, 4, 5), several(shapes_out, self.output)

    def record(self, folding: Folding | None, rule: TracedRule | None, x: Tensor) -> Recorded:
        """Run the network symbolically; see `tracing.record`."""
        before, after = self.picture.given(x)
        inputs: Any = {
            name: zeros(x, name, shape, self._dtypes.get(name, "float32"))
            for name, shape in self._others.items()
        }
        inputs[self._input] = after
        if not self._named:
            inputs = [inputs[name] for name in self._order]
        inputs = inputs if self._others or self._named else after
        result = record(self._network, folding, inputs, after if self.picture.first else None)
        output = result.output
        if self.outputs:
            output = (
                output[self.output] if isinstance(output, dict) else output[self._ends.index(self.output)]
            )
        if isinstance(output, dict):
            output = [*output.values()]
        if isinstance(output, (list, tuple)) and len(output) == 1:
            output = output[0]
        if self.picture.first and tf.is_tensor(output) and output.shape.rank > 2:
            output = tf.transpose(output, [0, *range(2, output.shape.rank), 1])
        whole = (before, after) if self.picture.dtype.is_integer else None
        return result._replace(output=output, whole=whole)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Class name of each layer by its own name."""
        return {layer.name: type(layer).__name__ for layer in all_layers(self._network)}

    def fingerprint(self, path: Path | None) -> str:
        """SHA-256 over architecture and weights; of a .keras file as they stand there, which takes no time."""
        digest = hashlib.sha256()
        if path is not None and path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                for name in sorted({*archive.namelist()} - {"metadata.json"}):  # which holds the date
                    with archive.open(name) as part:
                        while block := part.read(1 << 20):
                            digest.update(block)
        else:
            digest.update(self._architecture().encode())
            for variable in self._network.variables:
                digest.update(variable.numpy().tobytes())
        return digest.hexdigest()

    def _architecture(self) -> str:
        """Write the configuration, layers by their numbers: names that Keras makes up are others in each network."""
        if not hasattr(self._network, "to_json"):
            return ""
        names = dict.fromkeys((self._network.name, *(layer.name for layer in all_layers(self._network))))
        numbers = {name: f"layer {number}" for number, name in enumerate(names)}
        return json.dumps(_renamed(json.loads(self._network.to_json()), numbers))

    def guess(self, source: Source) -> tuple[str, bool]:
        """Preprocessing, and whether it can be known: scaled inside, whole numbers, or the application's name."""
        if source.kind == "application":
            return family(source.name) or "none", True
        for layer in all_layers(self._network):
            if type(layer).__name__ == "Rescaling":
                return ("unit" if np.max(layer.scale) > 0.1 else "none"), True
            if type(layer).__name__ == "Normalization":
                return ("unit" if np.max(np.abs(layer.mean)) <= 1 else "none"), True
        if self.picture.dtype.is_integer:
            return "none", True
        names = [self._network.name, *(layer.name for layer in self._network.layers)]
        return next((mode for mode in map(family, names) if mode), "unit"), False


def _renamed(config: object, names: dict[str, str]) -> object:
    """Give a configuration other names wherever one stands alone."""
    if isinstance(config, dict):
        return {key: _renamed(value, names) for key, value in config.items()}
    if isinstance(config, list):
        return [_renamed(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config


def _named_shapes(network: Any) -> dict[str, Size]:  # noqa: ANN401 - Keras has no types
    """Shape of each input."""
    tensors = _symbolic(network, "input")
    if tensors:
        return {name: tuple(spec.shape) for name, spec in tensors.items()}
    shape = (network.get_build_config() or {}).get("input_shape")  # subclassed models know no other shape
    if shape is None:
        raise ModelError("the model does not say what it takes: call it once on a picture, then save it")
    if isinstance(shape, dict):
        return dict(shape)
    shapes = shape if isinstance(shape[0], (tuple, list)) else [shape]
    return {f"input {i}": tuple(shape) for i, shape in enumerate(shapes)}


def _symbolic(network: Any, kind: Literal["input", "output"]) -> dict[str, Any]:  # noqa: ANN401 - Keras has no types
    """Return symbolic inputs or outputs by name; none where the network does not say."""
    several = getattr(network, f"{kind}s", None)
    if not several:
        return {}
    if len(several) == 1:  # a Sequential that was never called has nothing else
        return {several[0].name: several[0]}
    result = getattr(network, kind)
    if isinstance(result, dict):
        return dict(result)
    tensors = result if isinstance(result, (list, tuple)) else [result]
    names = [spec.name for spec in tensors] if kind == "input" else network.output_names
    return dict(zip(names, tensors, strict=True))


def zeros(x: Tensor, name: str, shape: Size, dtype: Any) -> Tensor:  # noqa: ANN401 - TensorFlow's
    """Make what an input gets that is not the picture, for as many pictures as ``x`` has."""
    if None in shape[1:]:
        raise ModelError(NO_ZEROS.format(quote(name)))
    return tf.zeros((tf.shape(x)[0], *shape[1:]), dtype)
