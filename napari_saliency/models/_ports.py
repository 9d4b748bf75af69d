"""Which of several inputs takes the picture, and which of several outputs is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from napari_saliency.models._settings import SettingError

OTHER_INPUTS = "The picture goes into {}; zeros into {}."
OTHER_OUTPUTS = "This is the output {}; there is also {}."


def chosen_port(
    kind: Literal["input", "output"], shapes: Mapping[str, Sequence[object]], said: str | None, *ranks: int
) -> str:
    """Name of the input or output that is meant: what the user says, else the first that looks like it.

    Parameters
    ----------
    ranks : int
        Numbers of axes that it may have.

    Raises
    ------
    SettingError
        If there is none of the name that the user says.
    """
    if said is None:
        return next((name for name, shape in shapes.items() if len(shape) in ranks), next(iter(shapes)))
    if said not in shapes:
        raise SettingError(kind, f"the model has no {kind} {said!r}; it has {', '.join(shapes)}")
    return said


def several(shapes: Mapping[str, object], chosen: str) -> tuple[str, ...]:
    """Names to choose from, the chosen one first; () where there is but one."""
    return (chosen, *(name for name in shapes if name != chosen)) if len(shapes) > 1 else ()
