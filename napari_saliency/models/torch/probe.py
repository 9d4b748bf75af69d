"""What a PyTorch network takes and returns, found out by running it."""

from __future__ import annotations

import hashlib
import math
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import NEEDS, Array, Needs, OutputActivation
from napari_saliency.models.describe import Facts, check_repeatable, find_activation, find_shape
from napari_saliency.models.info import Layer
from napari_saliency.models.io_selection import io_notes
from napari_saliency.models.probe_sizes import Place, find_free
from napari_saliency.models.settings import SettingError
from napari_saliency.models.torch.autograd import Pass, Watch, channels_last, listen, run
from napari_saliency.models.torch.captum import as_steps, followed, propagate
from napari_saliency.models.torch.network import candidates

if TYPE_CHECKING:
    from napari_saliency.core.types import Epsilon, Rescale
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.torch.network import TorchNetwork

Tensor = Any

# Layers whose output is another layer's, thinned out or moved: not what a class activation map is made of.
THINNING = ("pool", "drop", "pad", "identity", "upsampl", "interpolat", "resize", "mean", "fold", "shuffle")


HELD = 1.6
"""Times all that is computed: what a gradient holds at once, measured .7 to 1.6 on four networks."""


class TorchProbe(NamedTuple):
    """What was found out.

    Attributes
    ----------
    network : Network
        With the input and the output that are meant.
    facts : Facts
        For the model's description.
    batch : int or None
        The only number of pictures that it takes at once; None where it takes any.
    which : int
        As `Pass.which`.
    steps : Network or None
        The same written out for captum; see `followed`.
    """

    network: TorchNetwork
    facts: Facts
    batch: int | None
    which: int
    steps: TorchNetwork | None = None

    def with_network(self, network: TorchNetwork) -> TorchProbe:
        """Return the same of a network with other weights."""
        steps = self.steps and as_steps(network, ended=self.which >= 0)
        return self._replace(network=network, steps=steps)

    def propagate(
        self, x: Tensor, start: Tensor, weights: Tensor, rule: Rescale | Epsilon
    ) -> tuple[Tensor, Tensor]:
        """See `_torch_captum.propagate`."""
        assert self.steps is not None
        return propagate(self.steps, (x, start), weights, rule)

    @property
    def quantity(self) -> bool:
        """Whether its outputs are quantities, to be taken as they are."""
        return self.facts.activation == "quantity"


def probe(network: TorchNetwork, settings: Settings, fingerprint: str) -> TorchProbe:
    """Find out what a network takes and returns.

    Raises
    ------
    ModelError
        If it does not take pictures, or is no classifier, or answers by chance.
    """
    network, place = find_place(network, settings)
    shape = place.tried
    x = np.random.default_rng(0).random((network.batch or 2, *shape), np.float32)
    batch = network.batch or _largest_batch(network, x)
    quantity = settings.task == "regression"
    done = start(network, x[:batch], every=True, raw=quantity)
    outputs = done.logits.cpu().numpy()
    check_repeatable(partial(_array_of, network, done.which), x[:batch], outputs, alone=not network.batch)
    probed = done.activation or done.is_linear or quantity
    implicit = None if probed else find_activation(partial(_outputs, network, batch), shape)
    assumed: OutputActivation = "quantity" if quantity else "sigmoid" if outputs.shape[-1] == 1 else "softmax"
    layers, kinds = _layers(done)
    outputs_meant = _outputs_meant(network, x[:batch])
    steps, unruled = _steps(network, done, implicit)
    facts = Facts(
        shape=place.shape,
        known=place.known,
        n_outputs=outputs.shape[-1],
        fingerprint=fingerprint,
        activation=done.activation or implicit or assumed,
        space=outputs.shape[1:-1] if all(place.shape) else (None,) * (outputs.ndim - 2),
        raw=not (done.activation or implicit),
        implicit=implicit,
        layers=layers,
        names=frozenset(kinds),
        thinned=frozenset(
            name for name, kind in kinds.items() if any(word in kind.lower() for word in THINNING)
        ),
        inputs=network.inputs,
        outputs=outputs_meant,
        notes=tuple(io_notes([port.name for port in network.others], outputs_meant)),
        multiple=place.multiple,
        work=done.watch.work / math.prod(shape[:-1]),
        memory=_held(network, done),
        gives=_gives(network, steps),
        unruled=unruled,
    )
    return TorchProbe(network, facts, batch, done.which, steps)


def _steps(
    network: TorchNetwork, done: Pass, implicit: OutputActivation | None
) -> tuple[TorchNetwork | None, str]:
    if implicit:
        return None, f"logits, and how this network comes to its {implicit} is not seen"
    return followed(network, done.x.detach(), done.logits, ended=done.which >= 0)


def _gives(network: TorchNetwork, steps: TorchNetwork | None) -> frozenset[Needs]:
    result: set[Needs] = set(NEEDS)
    if network.has_weights:
        result.add("cascade")
    if steps is not None:
        result.add("propagate")
    return frozenset(result)


def find_place(network: TorchNetwork, settings: Settings) -> tuple[TorchNetwork, Place]:
    """Find which of a network's inputs takes the picture, what the others take, and of which size it is.

    Raises
    ------
    ModelError
        If it does not take pictures; SettingError, if the user says what it does not have or take.
    """
    errors: list[ModelError] = []
    for candidate in candidates(network, settings):
        try:
            return candidate, _place_of(candidate, settings)
        except ModelError as error:
            if isinstance(error, SettingError) and error.field == "output":
                raise
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    names = ", ".join(port.name for port in (network.entry, *network.others))
    raise ModelError(
        f"it takes {names}, and does not say how many zeros belong into all but the picture ({errors[0]}): "
        "save it by torch.export.save, which writes that down"
    ) from errors[0]


def _place_of(network: TorchNetwork, settings: Settings) -> Place:
    run = partial(_outputs, network, network.batch)
    given = settings.size or settings.channels
    if not settings.size and network.is_free:
        result = find_free(run, settings.channels or network.channels or 3, network.axes)
        if result:
            return result
    if network.example and not given:
        return Place(network.example, network.example, known=True)
    shape = find_shape(run, settings, network.channels, network.axes)
    return Place(shape, shape)


def _held(network: TorchNetwork, done: Pass) -> float:
    """Bytes that a gradient holds for each pixel; nothing is known of other memory than the processor's."""
    here = network.device.type == "cpu"
    return HELD * done.watch.held / math.prod(done.x.shape[:-1]) if here else 0


def start(
    network: TorchNetwork,
    x: Array,
    *layers: str,
    every: bool = False,
    raw: bool = False,
    viewed_layer: str = "",
) -> Pass:
    """Run a network on (N, H, W, C) so that derivatives can be taken.

    Parameters
    ----------
    *layers : str
        Those that are kept and can be looked at.
    every : bool
        Whether all can be looked at.
    raw : bool
        See `Pass`.
    view_layer : str
        The layer whose channels are to be the logits, if any.
    """
    keep = tuple(filter(None, (*layers, viewed_layer)))
    looking = bool(keep) or every
    watch = Watch(network.weight_names if looking and not network.listens else None, keep)
    tensor = as_tensor(network, x)
    with torch.enable_grad(), listen(network.module, watch) if looking and network.listens else nullcontext():
        done = Pass(network, tensor, watch, raw=raw)
    if viewed_layer:
        done.end_at(viewed_layer)
    return done


def channels_of(network: TorchNetwork, x: Array, layer: str) -> Tensor:
    """Output (N, *space, C) of a layer."""
    watch = Watch(None if network.listens else network.weight_names, (layer,))
    with torch.no_grad(), listen(network.module, watch) if network.listens else nullcontext():
        run(network, as_tensor(network, x), watch)
    return channels_last(watch.kept[layer].float())


def forward(network: TorchNetwork, x: Array, which: int = -1) -> Tensor:
    """Outputs (N, K) or (N, *space, K), or what a softmax or sigmoid at the end was computed from."""
    watch = Watch(last=which + 1)
    with torch.no_grad():
        output = run(network, as_tensor(network, x), watch)
    return channels_last(
        (output if which < 0 else watch.endings[-1 - which].value.reshape(output.shape)).float()
    )


def as_tensor(network: TorchNetwork, array: Array) -> Tensor:
    """Bring an array to where the network is; a copy, since arrays of other processes cannot be written to."""
    return torch.tensor(array, dtype=torch.float32, device=network.device)


def fingerprint(network: TorchNetwork) -> str:
    """SHA-256 over architecture and weights."""
    digest = hashlib.sha256(network.text.encode())
    for name, tensor in sorted(network.module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _outputs(network: TorchNetwork, batch: int | None, x: Array) -> Array:
    """Outputs of one picture, put so often into the batch as the network wants."""
    return forward(network, np.repeat(x, batch or 1, 0))[:1].cpu().numpy()  # type: ignore[no-any-return]


def _outputs_meant(network: TorchNetwork, x: Array) -> tuple[str, ...]:
    with torch.no_grad():
        return network.outputs(as_tensor(network, x).movedim(-1, 1).contiguous())


def _array_of(network: TorchNetwork, which: int, x: Array) -> Array:
    return forward(network, x, which).cpu().numpy()  # type: ignore[no-any-return]


def _largest_batch(network: TorchNetwork, x: Array) -> int | None:
    """None if any number of pictures can be run at once: a traced network may know one alone."""
    try:
        forward(network, x)
    except ModelError:
        return 1
    return None


def _layers(done: Pass) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """Layers on the way to the logits, by their shortest names; and the kind of each, by all of its names.

    A block returns what the last layer in it does. It goes by the block's name, as people call it, and
    is of that layer's kind.
    """
    ancestors = done.ancestors()
    names: dict[Any, str] = {}
    kinds: dict[str, str] = {}
    inner: dict[Any, str] = {}
    for name, seen in done.watch.layers.items():
        if seen.edge.node not in ancestors:
            continue
        place = seen.edge.node, seen.edge.output_nr
        kinds[name] = inner.setdefault(place, done.watch.kinds[name])
        names[place] = name
    shapes = {name: done.watch.layers[name].shape for name in names.values()}
    return tuple(Layer(name, s[2:], s[1]) for name, s in shapes.items()), kinds
