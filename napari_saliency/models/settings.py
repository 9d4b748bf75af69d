"""Settings of a model that cannot be read off its file: kept in a sidecar, ``NAME.saliency.json``.

``labels`` and ``task`` belong to one output: choosing another output puts them away, and choosing theirs again brings
them back.
"""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.core.preprocessing import Preprocessing
from napari_saliency.core.types import Fit

# More pixels or channels in a row than any picture has.
Count = Annotated[int, Field(gt=0, le=1_000_000)]

LONGEST = 10_000_000
"""Bytes of text that are read of a file beside a model."""


def _of_no_line(size: tuple[int, ...]) -> tuple[int, ...]:
    if len(size) == 1:
        raise ValueError("a size has two numbers, or three")
    return size


class SettingError(ModelError):
    """A setting does not fit the model.

    Parameters
    ----------
    field : str
        Name of the setting.
    message : str
        Why, and what to do.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)  # all of them, so that it can be pickled
        self.field = field

    def __str__(self) -> str:
        return str(self.args[1])


class Scaling(BaseModel):
    """A preprocessing that has no name: ``(picture / divisor - mean) / std``, picture 0..255."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    divisor: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False


Task = Literal["classification", "regression"]


class OutputSettings(BaseModel):
    """Settings of one output; see `Settings.outputs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...] | None = Field(default=None, min_length=1)
    task: Task | None = None

    def over(self, other: OutputSettings) -> OutputSettings:
        """Return these, and those of ``other`` where these say nothing."""
        return other.model_copy(update=self.model_dump(exclude_none=True))


NOTHING = OutputSettings()

Outputs = dict[str, OutputSettings]


def _stated(outputs: Outputs) -> Outputs:
    """Leave out outputs of which nothing is said, so that equal settings compare equal."""
    return {name: own for name, own in outputs.items() if own != NOTHING}


class Settings(BaseModel):
    """Settings that a user gives for a model; all of them optional, and nothing else allowed.

    Attributes
    ----------
    preprocessing : str or Scaling, optional
        ``none``, ``unit``, ``tf``, ``caffe``, ``torch``, or mean and deviation.
    fit : {"crop", "stretch", "pad"}, optional
        How a picture is brought to the model's size.
    layer : str, optional
        The layer that class activation maps are made of.
    size : (height, width) or (z, y, x), optional
        Of the pictures or volumes that the model takes, for models that do not say, or take any; empty
        to take back what was said before.
    channels : int, optional
        1 grey, 3 RGB, for models that do not say.
    input, output : str, optional
        Name of the input that takes the picture (others are given zeros), and of the output that is
        explained, where there are several.
    outputs : mapping of str to OutputSettings
        Class names and task of each output, by its name; under ``""`` what is said of no output in particular,
        which holds for every one of which nothing is said.
    custom : str, optional
        Module that registers the model's own classes with Keras, as in ``package.module``. It is imported, which
        runs it, after somebody's yes; see `models.trust`.
    note : str, optional
        Shown in the panel, for whoever uses the model.

    Notes
    -----
    ``Settings(labels=..., task=...)`` says them of ``output``, or of no output in particular; files may do so, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocessing: str | Scaling | None = None
    fit: Fit | None = None
    layer: str | None = None
    size: Annotated[tuple[Count, ...], Field(max_length=3), AfterValidator(_of_no_line)] | None = None
    channels: Count | None = None
    input: str | None = None
    output: str | None = None
    outputs: Annotated[Outputs, AfterValidator(_stated)] = Field(default_factory=dict)
    custom: str | None = None
    note: str | None = None

    def __init__(self, **values: object) -> None:
        """Raise ValueError, in one sentence, for a value that is not allowed."""
        try:
            super().__init__(**_by_output(values))
        except ValidationError as error:
            first = error.errors()[0]
            loc = first["loc"]
            if loc[:2] == ("outputs", values.get("output") or "") and not values.keys().isdisjoint(loc[2:3]):
                loc = loc[2:]  # it was given without its output's name
            place = ".".join(map(str, loc))
            if first["type"] == "extra_forbidden" and len(loc) == 1:
                raise ValueError(f"{quote(place)} is not one of {', '.join(FIELDS)}") from None
            raise ValueError(f"{place}: {first['msg']}, not {str(first['input'])[:80]!r}") from None
        self.resolve()

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Name of each class of the output that is explained, in order."""
        return self._explained.labels

    @property
    def task(self) -> Task | None:
        """Kind of number of the output that is explained, scores of classes or quantities; None where nobody says."""
        return self._explained.task

    @property
    def _explained(self) -> OutputSettings:
        return self.outputs.get(self.output or "", NOTHING).over(self.outputs.get("", NOTHING))

    def resolve(self) -> Preprocessing | None:
        """Return the preprocessing, if one is given.

        Raises
        ------
        ValueError
            If there is none of that name, or it divides by 0.
        """
        if isinstance(self.preprocessing, Scaling):
            return Preprocessing("mean/std", **self.preprocessing.model_dump())
        return Preprocessing.named(self.preprocessing) if self.preprocessing is not None else None

    def over(self, other: Settings) -> Settings:
        """Return these settings, and those of ``other`` where these say nothing.

        What these say of no output in particular is meant of the one that is explained.
        """
        own = self if self.output or not other.output else self.about(other.output)
        names = {**other.outputs, **own.outputs}
        outputs = {
            name: own.outputs.get(name, NOTHING).over(other.outputs.get(name, NOTHING)) for name in names
        }
        others = {name: value for name, value in own if value is not None and name != "outputs"}
        return other.model_copy(update={**others, "outputs": outputs})

    def about(self, output: str | None) -> Settings:
        """Return the same settings of an output: what was said of no output in particular is said of this one."""
        if not output:
            return self
        outputs = {name: own for name, own in self.outputs.items() if name}
        own = outputs.get(output, NOTHING).over(self.outputs.get("", NOTHING))
        return self.model_copy(update={"output": output, "outputs": _stated({**outputs, output: own})})

    def without(self, field: Literal["labels", "task"]) -> Settings:
        """Return the same settings, but for one that is said of the output that is explained."""
        outputs = {
            name: own.model_copy(update={field: None}) if name in (self.output, "") else own
            for name, own in self.outputs.items()
        }
        return self.model_copy(update={"outputs": _stated(outputs)})

    def says(self, field: str) -> bool:
        """Return whether a setting is given."""
        return getattr(self, field, None) is not None

    def given(self) -> dict[str, object]:
        """Return what is set, as it is written to a file: what goes for every output is written without a name."""
        result = self.model_dump(exclude_none=True)
        outputs = result.pop("outputs")
        if self.output is None:
            result = {**outputs.pop("", {}), **result}
        return {**result, "outputs": outputs} if outputs else result

    @classmethod
    def read_sidecar(cls, model: Path) -> Self:
        """Read the settings kept beside a model's file; empty ones where there are none.

        Raises
        ------
        ValueError
            If the file is not valid; the message names it and what is wrong.
        """
        path = sidecar_path(model)
        if not path.exists():
            return cls()
        try:
            content = json.loads(read_text(path))
            if isinstance(content, dict):
                content.pop("file", None)  # see `sidecar_path`
            return cls(**content)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path.name} beside the model is not valid: {error}; correct or delete it"
            ) from None

    def write_sidecar(self, model: Path) -> None:
        """Keep these settings beside a model's file."""
        content = {**self.given(), "file": model.name}
        text = json.dumps(content, indent=1, ensure_ascii=False, default=list)
        sidecar_path(model).write_text(text + "\n", encoding="utf-8")


FIELDS = (*OutputSettings.model_fields, *Settings.model_fields)
"""Names of all settings of a model."""


def _by_output(values: dict[str, object]) -> dict[str, object]:
    """Put labels and a task that are given without an output's name where they belong."""
    own = {name: values[name] for name in OutputSettings.model_fields if values.get(name) is not None}
    rest = {name: value for name, value in values.items() if name not in OutputSettings.model_fields}
    name, outputs = rest.get("output") or "", rest.pop("outputs", None) or {}
    if not own or not isinstance(outputs, dict) or not isinstance(name, str):
        return {**rest, "outputs": outputs}
    named = outputs.get(name, NOTHING)
    if isinstance(named, OutputSettings):
        named = named.model_dump(exclude_none=True)
    if isinstance(named, dict):  # what is said of it by its name goes first
        outputs = {**outputs, name: {**own, **named}}
    return {**rest, "outputs": outputs}


def sidecar_path(model: Path) -> Path:
    """Return where the settings of a model's file are kept.

    ``NAME.saliency.json``; or ``NAME.ENDING.saliency.json`` if the former says that it is of another file, as
    of ``net.keras`` where this one is ``net.pth``, and that file is there.
    """
    path = model.with_name(model.name.removesuffix(model.suffix) + ".saliency.json")
    of = _file_of(path)
    other = of != model.name and bool(of) and model.with_name(of).exists()
    return model.with_name(model.name + ".saliency.json") if other else path


def _file_of(path: Path) -> str:
    """Return the name of the model's file that settings say they are of; "" where they do not."""
    try:
        content = json.loads(read_text(path))
        return Path(content["file"]).name
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def read_text(path: Path, encoding: str = "utf-8", longest: int = LONGEST) -> str:
    """Read a text that somebody may have put beside a model, if it is one: pipes and devices never end.

    Raises
    ------
    ValueError
        If it is not a file, cannot be read, is longer than any such text, or is not text.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            content = file.read(longest + 1)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error
    if len(content) > longest:
        raise ValueError(f"{path.name} is longer than {longest:,} bytes")
    return content.decode(encoding)


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names from a file: lines of text, a JSON list, Keras' class index or class indices.

    Raises
    ------
    ValueError
        If the file holds none of these.
    """
    try:
        text = read_text(path, "utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    names = _names_in_json(text) if path.suffix == ".json" else _names_in_lines(text)
    if not any(names):
        raise ValueError(
            f"{path.name} holds no class names: give lines of text, a JSON list or Keras' class index"
        )
    return tuple(names)


def _names_in_lines(text: str) -> list[str]:
    """Return lines that are not empty, without their numbers if all of them are numbered in order."""
    lines = [*filter(None, map(str.strip, text.splitlines()))]
    numbered = [re.fullmatch(r"(\d+)(?:[:,;\t]\s*|\s+)(.*\S)", line) for line in lines]
    if all(match and int(match[1]) == i for i, match in enumerate(numbered)):
        return [match[2] for match in numbered if match]
    return lines


def _names_in_json(text: str) -> list[str]:
    try:
        return names_of(json.loads(text))
    except (ValueError, RecursionError):
        return []


def names_of(content: object) -> list[str]:
    """Return class names out of a list or of numbered ones; none if it is neither."""
    if isinstance(content, (list, tuple)):
        return list(map(str, content))
    if not isinstance(content, dict):
        return []
    try:
        # Keras' class index: {"285": ["n02124075", "Egyptian_cat"], ...}
        if all(isinstance(value, int) for value in content.values()):  # {"cat": 0, "dog": 1}: class_indices
            return sorted(content, key=content.__getitem__)
        rows = sorted(content.items(), key=lambda item: int(item[0]))
        return [str(row[1] if isinstance(row, list) else row).replace("_", " ") for _, row in rows]
    except (TypeError, ValueError, IndexError):
        return []
