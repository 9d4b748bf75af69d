"""The values that a session speaks in: the model's status, images, requests, and the maps that are known."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Region
from napari_saliency.images.prepare import prepare

if TYPE_CHECKING:
    import numpy as np

    from napari_saliency.core.placement import Contains
    from napari_saliency.core.types import Score, Target
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.models import ModelInfo

MEMORY = 256 * 2**20
"""Bytes of maps that are kept for switching back to them."""


class Phase(StrEnum):
    """State of the model."""

    NONE = "none"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class ModelStatus:
    """The model and its state.

    Attributes
    ----------
    phase : Phase
        The state.
    description : str
        The state in words, for the user.
    source : str
        The model that was chosen; empty if none was.
    info : ModelInfo or None
        What is known of the model, once it is open.
    program : str
        Path of the program that opening the model runs, while that waits for the user's permission.
    objection : str
        Reason why the model rejected the last settings; the settings before them are in use.
    """

    phase: Phase
    description: str
    source: str = ""
    info: ModelInfo | None = None
    program: str = ""
    objection: str = ""

    @cached_property
    def explained(self) -> ModelInfo | None:
        """The part of ``info`` that decides what a map looks like."""
        return None if self.info is None else replace(self.info, questions=(), notes=())


@dataclass(frozen=True, eq=False)
class SourceImage:
    """An image, or the visible plane of a stack.

    Attributes
    ----------
    key : hashable
        Equal keys mean equal pixels: layer, version of its data, plane, region.
    name : str
        Name for the user.
    read : callable
        Returns the pixels, (h, w) or (h, w, C), and the range of values from black to white
        (None: by the type). Called outside the window's thread.
    contains : callable, optional
        Returns which points lie in the region that is explained. Called outside the window's thread, too.
    """

    key: Hashable
    name: str
    read: Callable[[], tuple[np.ndarray[Any, Any], tuple[float, float] | None]]
    contains: Contains | None = None

    def input_key(self, info: ModelInfo) -> Hashable:
        """Return the key of what `prepare` returns for a model."""
        return self.key, info.input, bool(info.space)

    def prepare(self, info: ModelInfo) -> Prepared:
        """Read the image and make the model's input of it, with its region if the model's output has space.

        Raises
        ------
        OSError, ValueError
            If the image cannot be read or used, or the region is empty.
        """
        image, values = self.read()
        prepared = prepare(image, info.input, values)
        if not info.space:
            return prepared
        if self.contains is None:
            return replace(prepared, region=prepared.picture)
        region = Region.where(self.contains, prepared.placement, prepared.x.shape[:-1], prepared.picture)
        description = (*prepared.description, f"region of {region.size} pixels")
        return replace(prepared, region=region, description=description)


@dataclass(frozen=True)
class Recipe:
    """All of a request but its classes: maps of one recipe differ in nothing but the class.

    Attributes
    ----------
    picture : hashable
        Key of the image.
    model : ModelInfo
        The model, as in `ModelStatus.explained`.
    method : str
        Id of the method.
    options : tuple of (str, object)
        All options of the method, sorted by name.
    score : Score
        The number of each class that is explained.
    """

    picture: Hashable
    model: ModelInfo
    method: str
    options: tuple[tuple[str, Any], ...]
    score: Score

    def request(self, target: Target) -> Request:
        """Return the request for a target."""
        return Request(self.picture, self.model, self.method, self.options, target)


@dataclass(frozen=True)
class Request:
    """Key of one explanation: image, model, method, options and target."""

    picture: Hashable
    model: ModelInfo
    method: str
    options: tuple[tuple[str, Any], ...]
    target: Target

    @cached_property
    def _hash(self) -> int:
        return hash((self.picture, self.model, self.method, self.options, self.target))

    def __hash__(self) -> int:
        """Return the hash, which takes long for a model of many classes and layers: once."""
        return self._hash

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Leave out the hash: it is another one in another process."""
        return type(self), (self.picture, self.model, self.method, self.options, self.target)

    @cached_property
    def recipe(self) -> Recipe:
        """The same for every class."""
        return Recipe(self.picture, self.model, self.method, self.options, self.target.score)


@dataclass(frozen=True, eq=False)
class Shown:
    """A map that is shown, and the request that it answers; each time that it is shown is another one."""

    request: Request | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True)
class Progress:
    """Steps done by the running method, and their number; ``total`` 0 means not known yet."""

    done: int
    total: int
    description: str


@dataclass(frozen=True)
class Problem:
    """An error in one sentence, with the engine's traceback.

    Attributes
    ----------
    message : str
        The sentence.
    details : str
        The traceback, or what else is known.
    brief : str
        A shorter sentence for notices of one line, which refers to the details.
    """

    message: str
    details: str = ""
    brief: str = ""

    @classmethod
    def of(cls, what: str, error: BaseException) -> Self:
        """Describe what did not work and why; an error that is not one of ours is named by its type."""
        text = str(error).strip().rstrip(".")
        if isinstance(error, MemoryError):
            text = text or "there is not enough memory"
        elif not isinstance(error, (ModelError, ValueError, OSError)):
            text = f"{type(error).__name__}: {text.partition(chr(10))[0]}"
        return cls(f"{what}: {text}.", "".join(traceback.format_exception(error)))


class ExplanationCache:
    """Known maps; the least recently used are forgotten first."""

    def __init__(self, most: int = MEMORY) -> None:
        self._most, self._bytes = most, 0
        self._maps: OrderedDict[Request, Explanation] = OrderedDict()

    def __contains__(self, request: object) -> bool:
        """Return True if a request's map is known."""
        return request in self._maps

    def get(self, request: Request) -> Explanation | None:
        """Return a known map, or None."""
        explanation = self._maps.get(request)
        if explanation is not None:
            self._maps.move_to_end(request)
        return explanation

    def put(self, request: Request, explanation: Explanation) -> None:
        """Keep a map, and forget others if memory is short."""
        self._bytes += _size(explanation) - (_size(self._maps[request]) if request in self._maps else 0)
        self._maps[request] = explanation
        while self._bytes > self._most and len(self._maps) > 1:
            self._bytes -= _size(self._maps.popitem(last=False)[1])

    def alike(self, recipe: Recipe) -> list[Explanation]:
        """Return the known maps of a recipe, of any class."""
        return [explanation for known, explanation in self._maps.items() if known.recipe == recipe]

    def classes(self, recipe: Recipe | None) -> frozenset[int]:
        """Return the classes whose maps are known of a recipe; none of no recipe."""
        indices = (known.target.index for known in self._maps if known.recipe == recipe)
        return frozenset(index for index in indices if index is not None)


def short_name(source: str) -> str:
    """Return a short name of a model: of a file or a folder its name, of others the whole source."""
    return source if source.startswith(("bundled:", "keras:", "python:")) else Path(source).name


def _size(explanation: Explanation) -> int:
    return explanation.values.nbytes + (0 if explanation.stderr is None else explanation.stderr.nbytes)
