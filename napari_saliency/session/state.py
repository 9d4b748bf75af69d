"""What an inspection speaks in: the model's status, pictures, requests, and the maps that are known."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_saliency.core.errors import ModelError

if TYPE_CHECKING:
    import numpy as np

    from napari_saliency.core.placement import Contains
    from napari_saliency.core.types import Target
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.models import ModelInfo

MEMORY = 256 * 2**20
"""Bytes of maps that are kept for switching back to them."""


class Phase(StrEnum):
    """How the model stands."""

    NONE = "none"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class ModelStatus:
    """The model and how it stands.

    Attributes
    ----------
    description : str
        For the user.
    program : str
        Path of the program that opening it runs, where that waits for the user's yes.
    objection : str
        Why the model does not take what was said of it last; what was said before holds.
    """

    phase: Phase
    description: str
    source: str = ""
    info: ModelInfo | None = None
    program: str = ""
    objection: str = ""


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A picture, or the visible plane of a stack.

    Attributes
    ----------
    key : hashable
        Equal keys mean equal pixels: layer, version of its data, plane.
    name : str
        As the user reads it.
    read : callable
        Returns the pixels, (h, w) or (h, w, C), and the range of values that is black to white
        (None: by the type); called outside of the window's thread.
    contains : callable, optional
        Says which points of it lie in the region that is looked at; called there, too.
    """

    key: Hashable
    name: str
    read: Callable[[], tuple[np.ndarray[Any, Any], tuple[float, float] | None]]
    contains: Contains | None = None


@dataclass(frozen=True)
class Request:
    """Exactly what a map answers: cache key, staleness test and log line."""

    picture: Hashable
    model: ModelInfo
    method: str
    options: tuple[tuple[str, Any], ...]
    target: Target

    @classmethod
    def of(
        cls, picture: SourceImage, info: ModelInfo, method: str, options: Mapping[str, Any], target: Target
    ) -> Self:
        """Ask a model about a picture."""
        model = replace(info, questions=(), notes=())  # what is said of it changes no map
        return cls(picture.key, model, method, tuple(sorted(options.items())), target)

    def is_like(self, other: Request) -> bool:
        """Whether another request differs in nothing but the class."""
        if self.picture != other.picture or self.target.score != other.target.score:
            return False  # most of them, at once
        return replace(self, target=other.target) == other


@dataclass(frozen=True)
class Progress:
    """How far the running method is; ``total`` 0 means not known yet."""

    done: int
    total: int
    description: str


@dataclass(frozen=True)
class Problem:
    """Something that went wrong, in one sentence, with the engine's traceback behind it.

    Attributes
    ----------
    message : str
        The sentence.
    details : str
        The traceback, or what else is known.
    brief : str
        What a notice of one line says instead, where it must be understood at a glance; it sends to the details.
    """

    message: str
    details: str = ""
    brief: str = ""

    @classmethod
    def of(cls, what: str, error: BaseException) -> Self:
        """Say what did not work and why; an error that is not one of ours is named by its type."""
        text = str(error).strip().rstrip(".")
        if isinstance(error, MemoryError):
            text = text or "there is not enough memory"
        elif not isinstance(error, (ModelError, ValueError, OSError)):
            text = f"{type(error).__name__}: {text.partition(chr(10))[0]}"
        return cls(f"{what}: {text}.", "".join(traceback.format_exception(error)))


class ExplanationCache:
    """The maps that are known, the least recently used forgotten first."""

    def __init__(self, most: int = MEMORY) -> None:
        self._most, self._bytes = most, 0
        self._maps: OrderedDict[Request, Explanation] = OrderedDict()

    def __contains__(self, request: Request | None) -> bool:
        """Whether a map is known."""
        return request in self._maps

    def get(self, request: Request) -> Explanation | None:
        """Return a known map, or None."""
        if request in self._maps:
            self._maps.move_to_end(request)
        return self._maps.get(request)

    def put(self, request: Request, explanation: Explanation) -> None:
        """Keep a map; others are forgotten for it if need be."""
        self._bytes += _size(explanation) - (_size(self._maps[request]) if request in self._maps else 0)
        self._maps[request] = explanation
        while self._bytes > self._most and len(self._maps) > 1:
            self._bytes -= _size(self._maps.popitem(last=False)[1])

    def alike(self, request: Request) -> list[Explanation]:
        """Known maps that differ from a request in nothing but the class."""
        return [explanation for known, explanation in self._maps.items() if known.is_like(request)]

    def classes(self, request: Request) -> frozenset[int]:
        """Classes whose maps answer a request but for the class."""
        indices = (known.target.index for known in self._maps if known.is_like(request))
        return frozenset(index for index in indices if index is not None)


def short_name(source: str) -> str:
    """Name a source of a model: a file or a folder by its name, another as it is."""
    return source if source.startswith(("bundled:", "keras:", "python:")) else Path(source).name


def _size(explanation: Explanation) -> int:
    return explanation.values.nbytes + (0 if explanation.stderr is None else explanation.stderr.nbytes)
