"""Which of several inputs takes the picture, and which of several outputs is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_saliency._types import ModelError
from napari_saliency.models._settings import SettingError

if TYPE_CHECKING:
    from napari_saliency.models._settings import Settings

NOBODY_SAID = (
    "The model has the outputs {}, and nobody said which one is meant: this is {}. Choose with output=NAME, or "
    "beside the file."
)


def which_input(names: tuple[str, ...], settings: Settings) -> str:
    """Name of the input that takes the picture.

    Raises
    ------
    ModelError
        If there are several, and the settings do not say which, and what the others are.
    """
    if settings.input and settings.input not in names:
        raise SettingError("input", f"the model has no input {settings.input!r}; it has {', '.join(names)}")
    if len(names) > 1 and not (settings.input and settings.others):
        raise ModelError(
            f"the model takes {len(names)} inputs ({', '.join(names)}); say which one is the picture, and that "
            f"the others are to be 0: input={names[0]!r}, others='zeros'"
        )
    return settings.input or names[0]


def which_output(
    shapes: Mapping[str, Sequence[object]], settings: Settings
) -> tuple[tuple[str, ...], str | None]:
    """Names to ask the user about, and that of the output that is explained: None where there is but one.

    Raises
    ------
    ModelError
        If the settings name one that does not exist.
    """
    names = tuple(shapes)
    if settings.output and settings.output not in names:
        raise SettingError(
            "output", f"the model has no output {settings.output!r}; it has {', '.join(names) or 'but one'}"
        )
    if settings.output:
        return (), settings.output if len(names) > 1 else None
    if len(names) < 2:
        return (), None
    return names, next((name for name in names if len(shapes[name]) == 2), names[0])
