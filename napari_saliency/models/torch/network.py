"""A PyTorch network as a function of one picture: what goes in beside it, and which of its answers is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.io_selection import NO_ZEROS, select_io, several

if TYPE_CHECKING:
    from napari_saliency.models.settings import Settings

Tensor = Any
Sizes = tuple[int | str, ...]

NAMED_OUTPUTS = ("out", "logits")
"""What the answer is called in a dictionary, as torchvision's segmentations return one."""

AXES = {2: ("n", "c", "y", "x"), 3: ("n", "c", "z", "y", "x")}
"""Sizes of a picture, as words, where a network does not say them; by the number of axes of space."""

NO_PICTURE = (
    "it takes ({}); a picture's shape is (pictures, channels, height, width), a volume's "
    "(volumes, channels, z, y, x)"
)

MOST_FILLINGS = 12
"""Ways to fill inputs of unknown shapes that are tried."""


class TensorSpec(NamedTuple):
    """A network's input.

    Attributes
    ----------
    name : str
        As the network calls it.
    sizes : tuple of int or str, optional
        The batch's first. A word where a size is free: the same word is the same size. None where a
        network does not say them.
    dtype : torch.dtype
        Of its numbers.
    example : tuple of int, optional
        Sizes that it was exported for.
    """

    name: str
    sizes: Sizes | None = None
    dtype: Any = torch.float32
    example: tuple[int, ...] | None = None

    def zeros(self, known: Mapping[int | str, int], device: Any) -> Tensor:  # noqa: ANN401 - a torch.device
        """Make what it gets if it does not take the picture, given sizes by their words, ``n`` the batch's."""
        known = {(self.sizes or ("n",))[0]: known["n"]} | dict(known)
        sizes = [size if isinstance(size, int) else known.get(size) for size in self.sizes or ()]
        if self.example:
            sizes = [size or usual for size, usual in zip(sizes, self.example, strict=True)]
        if None in sizes:
            raise ModelError(NO_ZEROS.format(quote(self.name)))
        return torch.zeros(sizes, dtype=self.dtype, device=device)


def by_name(module: Any) -> Callable[[Mapping[str, Any]], Any]:  # noqa: ANN401 - a Module
    """Call a module with inputs by their names; with a single one by its place, as it may have no name."""

    def call(given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it returns
        return module(*given.values()) if len(given) == 1 else module(**given)

    return call


@dataclass(frozen=True, eq=False)
class TorchNetwork:
    """A network in inference mode, without derivatives by its weights.

    Attributes
    ----------
    module : torch.nn.Module
        What is run.
    text : str
        What it computes, as far as it can be written.
    call : callable
        Runs it on its inputs, given by their names.
    entry : TensorSpec
        Takes (N, C, H, W), or volumes (N, C, Z, H, W).
    others : tuple of TensorSpec
        Take zeros.
    listens : bool
        Whether its modules can be listened to; otherwise layers go by the weights that they use.
    output : str, optional
        The one that the user wants.
    loops : bool
        Whether what it runs may have no end.
    """

    module: Any
    text: str
    call: Callable[[Mapping[str, Any]], Any]
    entry: TensorSpec
    others: tuple[TensorSpec, ...] = ()
    listens: bool = True
    output: str | None = None
    loops: bool = False

    def __call__(self, x: Tensor) -> Any:  # noqa: ANN401 - a tensor, unless it is not a classifier
        """Run it on pictures (N, C, H, W): the output that is meant, or whatever it returns.

        Raises
        ------
        SettingError
            If it has no output of the name that the user says.
        """
        answer = self._run(x)
        result = _named(answer)
        return result[self._chosen(_shapes(result), x.ndim)] if result else answer

    def outputs(self, x: Tensor) -> tuple[str, ...]:
        """Return the names of its outputs where several may be meant, the chosen one first."""
        shapes = _shapes(_named(self._run(x)))
        return several(shapes, self._chosen(shapes, x.ndim), 2, x.ndim) if shapes else ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of its inputs where several may take the picture, the chosen one first."""
        specs = {spec.name: spec.sizes or () for spec in (self.entry, *self.others)}
        return several(specs, self.entry.name, 4, 5)

    @property
    def device(self) -> Any:  # noqa: ANN401 - a torch.device
        """Device that its weights are on."""
        return next((p.device for p in self.module.parameters()), torch.device("cpu"))

    @property
    def batch(self) -> int | None:
        """The only number of pictures at once that it was exported for."""
        size = (self.entry.sizes or ("n",))[0]
        return size if isinstance(size, int) else None

    @property
    def is_free(self) -> bool:
        """True if it may take any size."""
        return not any(isinstance(size, int) for size in (self.entry.sizes or ())[2:])

    @property
    def example(self) -> tuple[int, ...] | None:
        """Size and channels of what it was exported for: (height, width, channels), (z, y, x, channels)."""
        sizes = self.entry.example or self.entry.sizes or ("n",)
        result = tuple(size for size in (*sizes[2:], *sizes[1:2]) if isinstance(size, int))
        return result if len(result) == len(sizes) - 1 and result else None

    @property
    def channels(self) -> int | None:
        """Channels that it says it takes, or that its first convolution does."""
        given = (self.entry.sizes or ("n", "c"))[1]
        if isinstance(given, int):
            return given
        return None if self._kernel is None else int(self._kernel.shape[1])

    @property
    def axes(self) -> int:
        """Axes of space of what it takes, by its first convolution: 2 of pictures, 3 of volumes."""
        if self.entry.sizes:
            return len(self.entry.sizes) - 2
        return 2 if self._kernel is None else self._kernel.ndim - 2

    @property
    def _kernel(self) -> Any:  # noqa: ANN401 - a tensor, or None
        return next((p for p in self.module.parameters() if p.ndim in (4, 5)), None)

    @property
    def has_weights(self) -> bool:
        """True if there are weights that are known by their layers; a saved graph's are not."""
        return self.listens and any(True for _ in self.module.parameters())

    @property
    def weight_names(self) -> dict[int, str]:
        """Name of the layer of each weight, by the tensor's id."""
        return {id(p): name.rpartition(".")[0] or name for name, p in self.module.named_parameters()}

    def _run(self, x: Tensor) -> Any:  # noqa: ANN401 - whatever it returns
        entry = self.entry
        known = dict(zip(entry.sizes or AXES[x.ndim - 2], x.shape, strict=True)) | {"n": len(x)}
        given = {spec.name: spec.zeros(known, x.device) for spec in self.others}
        given[entry.name] = x.to(entry.dtype) if entry.dtype.is_floating_point else x
        return self.call(given)

    def _chosen(self, shapes: Mapping[str, Sequence[int]], ndim: int) -> str:
        """Choose the output that is meant; by default of a usual name, else one of classes, else one of places."""
        usual = next((name for name in NAMED_OUTPUTS if name in shapes), None)
        if usual and self.output is None:
            return usual
        of_classes = any(len(shape) == 2 for shape in shapes.values())
        return select_io("output", shapes, self.output, 2 if of_classes else ndim)


def candidates(network: TorchNetwork, settings: Settings) -> Iterator[TorchNetwork]:
    """Find which input takes the picture, and what the others take; ways to be tried, if it does not say.

    Raises
    ------
    SettingError
        If it has no input of the name that the user says.
    """
    specs = {spec.name: spec for spec in (network.entry, *network.others)}
    sizes = {name: spec.sizes or () for name, spec in specs.items()}
    network = replace(network, output=settings.output)
    if all(spec.sizes for spec in specs.values()) or not network.others:
        entry = specs[select_io("input", sizes, settings.input, 4, 5)]
        if entry.sizes and len(entry.sizes) not in (4, 5):
            raise ModelError(NO_PICTURE.format(", ".join(map(str, entry.sizes))))
        yield _with_entry(network, specs, entry)
        return
    chosen = settings.input and select_io("input", sizes, settings.input)
    ways = product(filter(None, [chosen]) if chosen else specs, _fillings(network))
    for entry, fillings in islice(ways, MOST_FILLINGS):
        names = [name for name in specs if name != entry]
        filled = {name: TensorSpec(name, filling) for name, filling in zip(names, fillings, strict=True)}
        yield _with_entry(network, specs | filled, TensorSpec(entry, AXES[network.axes]))


def _with_entry(network: TorchNetwork, specs: Mapping[str, TensorSpec], entry: TensorSpec) -> TorchNetwork:
    others = tuple(spec for spec in specs.values() if spec.name != entry.name)
    return replace(network, entry=entry, others=others)


def _fillings(network: TorchNetwork) -> list[tuple[Sizes, ...]]:
    """List sizes that other inputs may have: as the picture, or as many numbers as a matrix takes."""
    batch, channels, *space = AXES[network.axes]
    weights = list(network.module.parameters())
    few = {int(p.shape[1]) for p in weights if p.ndim == 2 + network.axes and p.shape[1] <= 4}
    single: list[Sizes] = [(batch, channels, *space)]
    single += [(batch, number, *space) for number in sorted(few - {network.channels})]
    single += [(batch, number) for number in dict.fromkeys(int(p.shape[1]) for p in weights if p.ndim == 2)]
    return list(product([*single, (batch,)], repeat=len(network.others)))


def _named(answer: object, name: str = "") -> dict[str, Tensor]:
    """Return tensors by name, but whole numbers; none of what detectors return, a dictionary for each picture."""
    if isinstance(answer, torch.Tensor):
        return {name or "output": answer} if answer.dtype.is_floating_point else {}
    if isinstance(answer, Mapping):
        parts = {f"{name}.{key}" if name else str(key): part for key, part in answer.items()}
    elif hasattr(answer, "_fields"):
        parts = {f"{name}.{key}" if name else key: getattr(answer, key) for key in answer._fields}
    elif isinstance(answer, (list, tuple)) and not any(isinstance(part, Mapping) for part in answer):
        parts = {f"{name or 'output'} {number}": part for number, part in enumerate(answer)}
    else:
        return {}
    result: dict[str, Tensor] = {}
    for key, part in parts.items():
        result |= _named(part, key)
    return result


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
