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
from napari_saliency.core.types import NEEDS, Array, Ending, Needs
from napari_saliency.models.describe import Facts, check_repeatable, find_ending, find_shape
from napari_saliency.models.info import Layer
from napari_saliency.models.io_selection import notes_on_ports
from napari_saliency.models.probe_sizes import Place, find_free
from napari_saliency.models.settings import SettingError
from napari_saliency.models.torch.autograd import Pass, Watch, channels_last, listen, run
from napari_saliency.models.torch.captum import as_steps, followed, propagate
from napari_saliency.models.torch.network import candidates

if TYPE_CHECKING:
    from napari_saliency.core.types import Epsilon, Rescale
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.torch.network import Network

Tensor = Any

# Layers whose output is another layer's, thinned out or moved: not what a class activation map is made of.
THINNING = ("pool", "drop", "pad", "identity", "upsampl", "interpolat", "resize", "mean", "fold", "shuffle")


HELD = 1.6
"""Times all that is computed: what a gradient holds at once, measured .7 to 1.6 on four networks."""


class Settled(NamedTuple):
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

    network: Network
    facts: Facts
    batch: int | None
    which: int
    steps: Network | None = None

    def with_network(self, network: Network) -> Settled:
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
        return self.facts.ending == "quantity"


def settle(network: Network, settings: Settings, fingerprint: str) -> Settled:
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
    done = start(network, x[:batch], every=True, plain=quantity)
    outputs = done.logits.cpu().numpy()
    check_repeatable(partial(_array_of, network, done.which), x[:batch], outputs, alone=not network.batch)
    settled = done.ending or done.is_linear or quantity
    spelled = None if settled else find_ending(partial(_outputs, network, batch), shape)
    assumed: Ending = "quantity" if quantity else "sigmoid" if outputs.shape[-1] == 1 else "softmax"
    layers, kinds = _layers(done)
    outputs_meant = _outputs_meant(network, x[:batch])
    steps, unruled = _steps(network, done, spelled)
    facts = Facts(
        shape=place.shape,
        known=place.known,
        n_outputs=outputs.shape[-1],
        fingerprint=fingerprint,
        ending=done.ending or spelled or assumed,
        space=outputs.shape[1:-1] if all(place.shape) else (None,) * (outputs.ndim - 2),
        plain=not (done.ending or spelled),
        spelled=spelled,
        layers=layers,
        names=frozenset(kinds),
        thinned=frozenset(
            name for name, kind in kinds.items() if any(word in kind.lower() for word in THINNING)
        ),
        inputs=network.inputs,
        outputs=outputs_meant,
        notes=tuple(notes_on_ports([port.name for port in network.others], outputs_meant)),
        multiple=place.multiple,
        work=done.watch.work / math.prod(shape[:-1]),
        memory=_held(network, done),
        gives=_gives(network, steps),
        unruled=unruled,
    )
    return Settled(network, facts, batch, done.which, steps)


def _steps(network: Network, done: Pass, spelled: Ending | None) -> tuple[Network | None, str]:
    if spelled:
        return None, f"logits, and how this network comes to its {spelled} is not seen"
    return followed(network, done.x.detach(), done.logits, ended=done.which >= 0)


def _gives(network: Network, steps: Network | None) -> frozenset[Needs]:
    found: set[Needs] = set(NEEDS)
    if network.has_weights:
        found.add("cascade")
    if steps is not None:
        found.add("propagate")
    return frozenset(found)


def find_place(network: Network, settings: Settings) -> tuple[Network, Place]:
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


def _place_of(network: Network, settings: Settings) -> Place:
    run = partial(_outputs, network, network.batch)
    said = settings.size or settings.channels
    if not settings.size and network.is_free:
        found = find_free(run, settings.channels or network.channels or 3, network.axes)
        if found:
            return found
    if network.example and not said:
        return Place(network.example, network.example, known=True)
    shape = find_shape(run, settings, network.channels, network.axes)
    return Place(shape, shape)


def _held(network: Network, done: Pass) -> float:
    """Bytes that a gradient holds for each pixel; nothing is known of other memory than the processor's."""
    here = network.device.type == "cpu"
    return HELD * done.watch.held / math.prod(done.x.shape[:-1]) if here else 0


def start(
    network: Network, x: Array, *layers: str, every: bool = False, plain: bool = False, inside: str = ""
) -> Pass:
    """Run a network on (N, H, W, C) so that derivatives can be taken.

    Parameters
    ----------
    *layers : str
        Those that are kept and can be looked at.
    every : bool
        Whether all can be looked at.
    plain : bool
        See `Pass`.
    inside : str
        The layer whose channels are to be the logits, if any.
    """
    keep = tuple(filter(None, (*layers, inside)))
    looking = bool(keep) or every
    watch = Watch(network.weight_names if looking and not network.listens else None, keep)
    tensor = as_tensor(network, x)
    with torch.enable_grad(), listen(network.module, watch) if looking and network.listens else nullcontext():
        done = Pass(network, tensor, watch, plain=plain)
    if inside:
        done.end_at(inside)
    return done


def channels_of(network: Network, x: Array, layer: str) -> Tensor:
    """Output (N, *space, C) of a layer."""
    watch = Watch(None if network.listens else network.weight_names, (layer,))
    with torch.no_grad(), listen(network.module, watch) if network.listens else nullcontext():
        run(network, as_tensor(network, x), watch)
    return channels_last(watch.kept[layer].float())


def forward(network: Network, x: Array, which: int = -1) -> Tensor:
    """Outputs (N, K) or (N, *space, K), or what a softmax or sigmoid at the end was computed from."""
    watch = Watch(last=which + 1)
    with torch.no_grad():
        output = run(network, as_tensor(network, x), watch)
    return channels_last(
        (output if which < 0 else watch.endings[-1 - which].value.reshape(output.shape)).float()
    )


def as_tensor(network: Network, array: Array) -> Tensor:
    """Bring an array to where the network is; a copy, since arrays of other processes cannot be written to."""
    return torch.tensor(array, dtype=torch.float32, device=network.device)


def fingerprint(network: Network) -> str:
    """SHA-256 over architecture and weights."""
    digest = hashlib.sha256(network.text.encode())
    for name, tensor in sorted(network.module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _outputs(network: Network, batch: int | None, x: Array) -> Array:
    """Outputs of one picture, put so often into the batch as the network wants."""
    return forward(network, np.repeat(x, batch or 1, 0))[:1].cpu().numpy()  # type: ignore[no-any-return]


def _outputs_meant(network: Network, x: Array) -> tuple[str, ...]:
    with torch.no_grad():
        return network.outputs(as_tensor(network, x).movedim(-1, 1).contiguous())


def _array_of(network: Network, which: int, x: Array) -> Array:
    return forward(network, x, which).cpu().numpy()  # type: ignore[no-any-return]


def _largest_batch(network: Network, x: Array) -> int | None:
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
