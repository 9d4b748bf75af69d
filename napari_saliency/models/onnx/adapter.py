"""ONNX models: forward only, with their logits however they end."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.base import Model, Tap
from napari_saliency.models.describe import describe
from napari_saliency.models.error_messages import hinting
from napari_saliency.models.info import Layer
from napari_saliency.models.layer_view import describe_layer_view, no_channels
from napari_saliency.models.onnx.files import OnnxFile, read_file
from napari_saliency.models.onnx.probe import open_network, probe_onnx
from napari_saliency.models.onnx.session import open_session
from napari_saliency.models.probabilities import as_logits
from napari_saliency.models.probe import ProbeResult, run_in_parts
from napari_saliency.models.safety import Checked, check
from napari_saliency.models.settings import SettingError, Settings
from napari_saliency.models.sidecar import all_settings, naming_the_file
from napari_saliency.models.timeout import with_timeout

if TYPE_CHECKING:
    from napari_saliency.core.preprocessing import InputSpec
    from napari_saliency.core.types import Array, Rule, Targets
    from napari_saliency.models.sources import Source

NO_LAYERS = "the layers of an ONNX file cannot be looked at: {} is not one of them"
ONLY_FORWARD = "{} is an ONNX file, which can only be run forward: choose a method that needs scores alone"


class OnnxModel(Model):
    """A classifier, segmentation or regression in an ONNX file.

    Parameters
    ----------
    file : OnnxFile
        What is in the file; its graph is changed.
    source : Source
        Where it came from.
    settings : Settings
        What the user says about it.

    Raises
    ------
    ModelError
        If it does not take one picture and return one number for each class, or each class and place.
    """

    def __init__(self, file: OnnxFile, source: Source, settings: Settings) -> None:
        self._source, self._lock = source, RLock()
        self._applied: tuple[object, ...] = ()
        self._fingerprint, self._labels = file.fingerprint, file.labels
        self._with_timeout = partial(with_timeout, loops=file.loops, stop=file.stop)
        whole = self._whole(settings)
        self._io_selection = _io_selection(whole)
        with naming_the_file(source.path, settings):
            self._network = self._with_timeout(partial(open_network, file, whole))
        self._read(settings)

    def with_settings(self, settings: Settings) -> OnnxModel:
        if (
            self.info.viewed_layer or _io_selection(self._whole(settings)) != self._io_selection
        ):  # another part of the graph
            return OnnxModel(self._read_again(), self._source, settings)
        twin = copy.copy(self)
        twin._score_cache = None  # the same input may mean something else
        twin._read(settings)
        return twin

    def view_layer(self, layer: str) -> OnnxModel:
        file, twin, whole = self._read_again(), copy.copy(self), self.info.outer or self.info
        names = [name for node in file.model.graph.node for name in node.output if name]
        if layer not in names:
            raise no_channels(whole, layer, names)
        probed, facts, batch = self._probe
        session = open_session(file, self._network.session.io_selection, [layer])
        network = self._network._replace(session=session)
        inner = replace(probed, network=network)
        shape = tuple(size or 1 for size in facts.shape)  # all of them are known
        channels = run_in_parts(inner, batch, np.zeros((1, *shape), np.float32))
        twin._network, twin._score_cache = network, None
        own = replace(facts, n_outputs=channels.shape[-1], implicit=None, activation="quantity")
        twin._probe = ProbeResult(inner, own, batch)
        twin.info = describe_layer_view(whole, Layer(layer, channels.shape[1:-1], channels.shape[-1]), ())
        return twin

    def scores(self, x: Array) -> Array:
        with self._lock, hinting(self.info.input.shape):
            outputs = run_in_parts(self._probe.network, self._probe.batch, x)
        return as_logits(outputs, self._probe.facts)

    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        raise ModelError(ONLY_FORWARD.format(self.info.name))

    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        raise ModelError(ONLY_FORWARD.format(self.info.name))

    def _read_again(self) -> OnnxFile:
        """Read the file once more, of which another part is wanted; it may be another one by now."""
        assert self._source.path is not None
        return read_file(check(self._source.path, "onnx"))

    def _whole(self, settings: Settings) -> Settings:
        return all_settings(self._source, settings)

    def _read(self, settings: Settings) -> None:
        """Describe the model; find out again what it takes if that is said now, or said no longer."""
        whole = self._whole(settings)
        given = whole.size, whole.channels
        with naming_the_file(self._source.path, settings):
            if whole.layer:
                raise SettingError("layer", NO_LAYERS.format(quote(whole.layer)))
            if given != self._applied:
                with self._lock:
                    result = partial(probe_onnx, self._network, whole, self._fingerprint)
                    self._applied, self._probe = given, self._with_timeout(result)
            self.info = describe(self._source, whole.over(self._itself()), self._probe.facts)
            _check_numbers(self.info.input, self._network.session.number)

    def _itself(self) -> Settings:
        """Return what the file itself says, where it fits."""
        fits = len(self._labels) == self._probe.facts.n_outputs
        return Settings(labels=self._labels if fits else None)


def open_source(
    source: Source, settings: Settings, *, trust: bool = False, checked: Checked | None = None
) -> OnnxModel:
    """Open an ONNX file that was looked through; nothing of it is a program, so nobody need trust it.

    Raises
    ------
    ModelError
        If it cannot be opened; the message says why and what to do. The name is left to the caller.
    """
    assert checked is not None
    return OnnxModel(read_file(checked), source, settings)


def _io_selection(settings: Settings) -> tuple[str | None, ...]:
    return settings.input, settings.output, settings.task


def _check_numbers(spec: InputSpec, number: type[np.number[Any]]) -> None:
    """Refuse a preprocessing whose numbers the model cannot be given."""
    if not issubclass(number, np.integer):
        return
    limits, ramp = np.iinfo(number), np.arange(256, dtype=np.float32)
    values = spec.preprocessing(np.repeat(ramp[None, None, :, None], spec.channels, -1))
    if not np.array_equal(values, np.rint(values).clip(limits.min, limits.max)):
        raise SettingError(
            "preprocessing",
            f"it takes integers ({limits.dtype}), which preprocessing {quote(spec.preprocessing.name)} does not "
            "produce: use 'none'",
        )
