"""Settings that a user gives for a model: saved in its sidecar, and taken back if the model rejects them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_saliency.models import Settings, parse, sidecar_path


class SettingsEdit:
    """One change of a model's settings.

    Parameters
    ----------
    source : str
        The model.
    before : Settings
        The settings until then.
    displayed : str, optional
        The output that is explained, of several.

    Attributes
    ----------
    accepted : bool
        True once the model has been opened with the new settings.
    """

    def __init__(self, source: str, before: Settings, displayed: str | None = None) -> None:
        self.before, self._source, self._displayed = before, source, displayed
        self.accepted = False
        self._kept: tuple[Path, str | None] | None = None

    def write(self, settings: Settings) -> None:
        """Write the settings to the model's sidecar, if it has a file.

        Raises
        ------
        OSError, ModelError, ValueError
            If that cannot be done.
        """
        model = parse(self._source).path
        if model is None:
            return
        path = sidecar_path(model)
        sidecar = Settings.read_sidecar(model)
        text = path.read_text(encoding="utf-8") if path.exists() else None
        joined(sidecar, settings, self._displayed).write_sidecar(model)
        self._kept = path, text

    def undo(self) -> None:
        """Restore the sidecar."""
        if self._kept is None:
            return
        path, text = self._kept
        with suppress(OSError):  # then what stands there names itself when the model is opened again
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(text, encoding="utf-8")


def joined(before: Settings, now: Settings, displayed: str | None = None) -> Settings:
    """Return the new settings over those of the earlier ones that still hold.

    Class names belong to one output and to one output type, and the type to one output: the form still shows that
    of the output before. What belongs to another output stays with it in `Settings.outputs`.

    Parameters
    ----------
    displayed : str, optional
        The output that is explained while the settings are given, of several.
    """
    current = before.output or displayed
    if now.output is not None:
        before = before.about(current)
    if now.output not in (None, current):
        now = now.without("task")
    elif now.task not in (None, before.task):
        before = before.without("labels")
    return now.over(before)
