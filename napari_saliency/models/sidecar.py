"""Sidecar files of a model: settings, class names, and bioimage.io's description.

In this order: what a file says that comes first, goes over what the others say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_saliency.core.errors import quote
from napari_saliency.models.backends import endings
from napari_saliency.models.settings import (
    Scaling,
    SettingError,
    Settings,
    read_labels,
    read_text,
    sidecar_path,
)

if TYPE_CHECKING:
    from napari_saliency.models.sources import Source

LABELS = (".labels.txt", ".labels.json")
"""Class names of one model, behind its name."""

SHARED_LABELS = ("labels.txt", "labels.json", "class_names.txt", "class_names.json", "class_indices.json")
"""Class names of the only model in a folder."""

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
FIXED = ("fixed_zero_mean_unit_variance", "zero_mean_unit_variance")  # of version 0.5, and of 0.4
# Of a description: in bytes, in words, in parts that stand for others and in parts within parts. What is longer
# takes long to read, and repeated repeats can be made to never end.
LONGEST, MOST_WORDS, MOST_REPEATS, DEEPEST = 200_000, 20_000, 50, 50
BEGIN = (
    *(yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken),
    *(yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken),
)
END = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
# Numbers of ten thousand digits, and mappings that are put into others.
COSTLY = re.compile(r"<<|[-+0-9:_.]{100,}")


def all_settings(source: Source, given: Settings) -> Settings:
    """Merge what is said now with what the files beside the source's say.

    Raises
    ------
    ValueError
        If a file is not valid; the message names it and what is wrong.
    """
    return _over_files(given, source.path) if source.path else given


def sidecar_settings(model: Path) -> Settings:
    """Read all that is said beside a model's file, or within the folder of a SavedModel.

    Raises
    ------
    ValueError
        If a file is not valid; the message names it and what is wrong.
    """
    return _over_files(Settings(), model)


def _over_files(given: Settings, model: Path) -> Settings:
    for sidecar in _sidecar_files(model).values():
        given = given.over(sidecar)
    return given


@contextmanager
def naming_the_file(model: Path | None, settings: Settings) -> Iterator[None]:
    """Tell where a setting comes from that does not fit a model.

    Parameters
    ----------
    model : Path, optional
        The model's file.
    settings : Settings
        What is said now, which goes over what stands beside the file.

    Raises
    ------
    SettingError
        With the name of the file beside the model that says so, if it is not said now.
    """
    try:
        yield
    except SettingError as error:
        files = {} if model is None or settings.says(error.field) else _sidecar_files(model)
        name = next((name for name, stated in files.items() if settings.over(stated).says(error.field)), None)
        if name is None:
            raise
        raise SettingError(
            error.field, f"{error}; {name} beside the model says so: correct or delete it"
        ) from None


def _sidecar_files(model: Path) -> dict[str, Settings]:
    """Return what each file beside a model says, by its name."""
    result = {sidecar_path(model).name: Settings.read_sidecar(model)}
    folder = model if model.is_dir() else model.parent
    names = [model.with_name(model.name.removesuffix(model.suffix) + activation) for activation in LABELS]
    if model.is_dir() or _is_alone(model):
        names += [folder / name for name in SHARED_LABELS]
    for path in [path for path in names if path.is_file()][:1]:
        result[path.name] = Settings(labels=read_labels(path))
    for path in [folder / name for name in DESCRIPTIONS if (folder / name).is_file()][:1]:
        result[path.name] = _described(path, model)
    return result


def _is_alone(model: Path) -> bool:
    """Return whether a file without a model's name can be meant for this model alone, of all in its folder."""
    models = (path for path in model.parent.iterdir() if path.suffix.lower() in endings())
    return all(path.name == model.name or ".weights." in path.name for path in models)


# bioimage.io -------------------------------------------------------------------------------------


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Axis(_Part):
    """An axis of version 0.5; 0.4 has but letters."""

    type: str = ""
    channel_names: tuple[str, ...] | None = None


class _Numbers(_Part):
    """Arguments of a step of preprocessing."""

    mode: str = "fixed"
    gain: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] = 1.0


class _Step(_Part):
    """A step, called ``name`` before version 0.5 and ``id`` since."""

    id: str = ""
    name: str = ""
    kwargs: _Numbers = Field(default_factory=_Numbers)


class _Tensor(_Part):
    axes: str | tuple[_Axis, ...] = ""
    preprocessing: tuple[_Step, ...] = ()

    @property
    def channel_names(self) -> tuple[str, ...] | None:
        axes = () if isinstance(self.axes, str) else self.axes
        return next((axis.channel_names for axis in axes if axis.channel_names), None)


class _Weights(_Part):
    source: str = ""


class _Description(_Part):
    """Fields that are read of an ``rdf.yaml``."""

    type: Literal["model"]
    inputs: tuple[_Tensor, ...] = Field(min_length=1)
    outputs: tuple[_Tensor, ...] = Field(min_length=1)
    weights: dict[str, _Weights] = Field(default_factory=dict)


def _described(path: Path, model: Path) -> Settings:
    """Preprocessing and class names out of bioimage.io's description, if it describes this file."""
    try:
        return _parse(_read(path), model)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
    raise ValueError(f"{path.name} beside the model is not valid: {reason}; correct or delete it")


def _read(path: Path) -> _Description:
    text = read_text(path, longest=LONGEST)
    _check_length(text)
    return _Description.model_validate(yaml.safe_load(text))


def _parse(described: _Description, model: Path) -> Settings:
    files = {Path(weights.source).name for weights in described.weights.values() if weights.source}
    if not model.is_dir() and files and model.name not in files:
        return Settings()
    with np.errstate(all="ignore"):  # what divides by zero is refused by the settings
        scaling, note = _scaling(described.inputs[0].preprocessing)
    return Settings(labels=described.outputs[0].channel_names, preprocessing=scaling, note=note)


def _check_length(text: str) -> None:
    """Refuse what takes long to read, word by word, as it would take as long to find that out of all."""
    depth = repeats = 0
    for count, token in enumerate(yaml.scan(text)):
        depth += isinstance(token, BEGIN) - isinstance(token, END)
        repeats += isinstance(token, yaml.AliasToken)
        if repeats > MOST_REPEATS:
            raise ValueError("it repeats parts of itself too often")
        costly = isinstance(token, yaml.ScalarToken) and token.plain and COSTLY.fullmatch(token.value)
        if costly or count > MOST_WORDS or depth > DEEPEST:
            raise ValueError("it is longer or deeper than any description")


def _scaling(steps: tuple[_Step, ...]) -> tuple[Scaling | None, str | None]:
    """Put steps together into ``picture * gain + offset``; a sentence for those that no numbers stand for."""
    gain, offset, known = np.ones(1), np.zeros(1), False
    for step in steps:
        name, numbers = step.id or step.name, step.kwargs
        if name == "ensure_dtype":
            continue
        if name == "scale_linear":
            own, shift = np.ravel(numbers.gain), np.ravel(numbers.offset)
        elif name in FIXED and numbers.mode == "fixed" and numbers.mean is not None:
            own = 1 / np.ravel(numbers.std)
            shift = -np.ravel(numbers.mean) * own
        else:
            return (
                None,
                f"Its description asks for {quote(name)}, which is computed for each picture and not done here.",
            )
        gain, offset, known = gain * own, offset * own + shift, True
    if not known:
        return None, None
    mean, std = np.broadcast_arrays(-offset / gain, 1 / gain)
    return Scaling(divisor=1.0, mean=tuple(mean.tolist()), std=tuple(std.tolist())), None
