"""Probe of a PyTorch network: what it takes and returns, found out by running it."""

from __future__ import annotations

import hashlib
import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import NEEDS
from napari_saliency.models.describe import Facts
from napari_saliency.models.info import Layer
from napari_saliency.models.probe import Declared, Evidence, ProbeResult, find_place, probe
from napari_saliency.models.settings import SettingError
from napari_saliency.models.torch.autograd import Pass, Watch, channels_last, listen, run
from napari_saliency.models.torch.network import AXES, candidates
from napari_saliency.models.torch.rules import Recorder, offset, rules_of

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.probe import Place
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.torch.network import TorchNetwork

Tensor = Any

# Layers whose output is another layer's, thinned out or moved: not what a class activation map is made of.
THINNING = ("pool", "drop", "pad", "identity", "upsampl", "interpolat", "resize", "mean", "fold", "shuffle")


HELD = 1.6
"""Times all that is computed: what a gradient holds at once, measured .7 to 1.6 on four networks."""


@dataclass(frozen=True, eq=False)
class ProbedTorch:
    """A PyTorch network as the prober sees it, with one way to give it its picture.

    Attributes
    ----------
    network : TorchNetwork
        With the input and the output that are meant.
    which : int
        As `Pass.which`: what its outputs are taken from.
    """

    network: TorchNetwork
    which: int = -1

    @property
    def declared(self) -> Declared:
        network = self.network
        sizes = (network.entry.sizes or AXES[network.axes])[2:]
        return Declared(
            tuple(size if isinstance(size, int) else None for size in sizes),
            network.channels,
            network.batch,
            network.example,
            network.is_free,
        )

    def run(self, x: Array) -> Array:
        return forward(self.network, x, self.which).cpu().numpy()  # type: ignore[no-any-return]

    def examine(self, x: Array, *, quantity: bool) -> Evidence[ProbedTorch]:
        network = self.network
        recorder = Recorder(offset)
        done = start(recorder.on(network), x, every=True, raw=quantity)
        outputs = done.logits.cpu().numpy()
        layers, kinds = _layers(done)
        thinned = {name for name, kind in kinds.items() if any(word in kind.lower() for word in THINNING)}
        rules, lacking = rules_of(done, recorder)
        facts = Facts(
            n_outputs=outputs.shape[-1],
            space=outputs.shape[1:-1],
            layers=layers,
            names=frozenset(kinds),
            thinned=frozenset(thinned),
            inputs=network.inputs,
            outputs=_output_names(network, x),
            work=done.watch.work / math.prod(x.shape[1:-1]),
            memory=_held(network, done),
            gives=frozenset((*NEEDS, *rules, "cascade") if network.has_weights else (*NEEDS, *rules)),
            unruled=lacking,
        )
        return Evidence(
            ProbedTorch(network, done.which),
            facts,
            activation=done.activation,
            is_linear=done.is_linear,
            outputs=outputs,
            zeroed=tuple(each.name for each in network.others),
        )


def probe_torch(network: TorchNetwork, settings: Settings, fingerprint: str) -> ProbeResult[ProbedTorch]:
    """Find out what a network takes and returns.

    Raises
    ------
    ModelError
        If it does not take pictures, or is not a classifier, or answers by chance.
    """
    return probe(*_find_place(network, settings), settings, fingerprint)


def _find_place(network: TorchNetwork, settings: Settings) -> tuple[ProbedTorch, Place]:
    """Find which of a network's inputs takes the picture, what the others take, and of which size it is.

    Raises
    ------
    ModelError
        If it does not take pictures; SettingError, if the user says what it does not have or take.
    """
    tried = [ProbedTorch(candidate) for candidate in candidates(network, settings)]
    try:
        return find_place(tried, settings)
    except ModelError as error:
        if len(tried) == 1 or (isinstance(error, SettingError) and error.field == "output"):
            raise
        names = ", ".join(each.name for each in (network.entry, *network.others))
        raise ModelError(
            f"it takes {names}, and does not say how many zeros belong into all but the picture ({error}): "
            "save it with torch.export.save, which writes that down"
        ) from error


def _held(network: TorchNetwork, done: Pass) -> float:
    """Return the bytes that a gradient holds for each pixel; nothing is known of other memory than the processor's."""
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
    viewed_layer : str
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
    """Return the output (N, *space, C) of a layer."""
    watch = Watch(None if network.listens else network.weight_names, (layer,))
    with torch.no_grad(), listen(network.module, watch) if network.listens else nullcontext():
        run(network, as_tensor(network, x), watch)
    return channels_last(watch.kept[layer].float())


def forward(network: TorchNetwork, x: Array, which: int = -1) -> Tensor:
    """Return outputs (N, K) or (N, *space, K), or what a last softmax or sigmoid was computed from."""
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


def _output_names(network: TorchNetwork, x: Array) -> tuple[str, ...]:
    with torch.no_grad():
        return network.outputs(as_tensor(network, x).movedim(-1, 1).contiguous())


def _layers(done: Pass) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """Find layers on the way to the logits, by their shortest names; and the kind of each, by all of its names.

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
