"""Selection of the input that takes the picture, and of the output that is explained, where there are several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from napari_saliency.core.errors import quote
from napari_saliency.models.settings import SettingError

NO_ZEROS = "the model's input {} has no fixed size, so it is not known how many zeros it takes"


def select_io(
    kind: Literal["input", "output"], shapes: Mapping[str, Sequence[object]], given: str | None, *ranks: int
) -> str:
    """Choose the input or output that is meant: what the user says, else the first that looks like it.

    Parameters
    ----------
    ranks : int
        Numbers of axes that it may have.

    Raises
    ------
    SettingError
        If there is none of the name that the user says.
    """
    if given is None:
        return next((name for name, shape in shapes.items() if len(shape) in ranks), next(iter(shapes)))
    if given not in shapes:
        raise SettingError(kind, f"the model has no {kind} {quote(given)}; it has {', '.join(shapes)}")
    return given


def several(shapes: Mapping[str, Sequence[object]], chosen: str, *ranks: int) -> tuple[str, ...]:
    """Return the names to choose from, those with as many axes, the chosen one first; () where there is but one."""
    others = [name for name, shape in shapes.items() if name != chosen and (not ranks or len(shape) in ranks)]
    return (chosen, *others) if others else ()


def io_notes(zeroed: Sequence[str], outputs: Sequence[str]) -> Iterator[str]:
    """Yield sentences for the user on inputs that are given zeros, and on outputs, the chosen one first."""
    if zeroed:
        yield f"The picture goes into one input; zeros go into {', '.join(zeroed)}."
    if outputs:
        yield f"This is the output {outputs[0]}; there is also {', '.join(outputs[1:])}."
