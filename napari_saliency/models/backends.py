"""The one table of adapters: which files each opens, with what, and what it gives.

`BACKENDS` is read by `sources`, `load_model`, the dialog that opens files, the tests of the layout and of the
manifest, and whoever writes the table of the documentation. A new adapter is a folder of this room and one entry
here. Reading the table imports no framework; `Backend.adapter` does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from napari_saliency.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

EVERYTHING = "everything"


class SourceFormat(NamedTuple):
    """One row of the table that users read.

    Attributes
    ----------
    model : str
        What they have.
    source : str
        What they give `load_model`.
    gives : str
        What can be computed of it.
    """

    model: str
    source: str
    gives: str = EVERYTHING


@dataclass(frozen=True)
class Backend:
    """An adapter, described without importing it.

    Attributes
    ----------
    name : str
        Its key in `BACKENDS`, and the ``kind`` of its sources.
    label : str
        As users call it, in dialogs and messages.
    opener : str
        Full name of the module that has ``open_source(source, settings, *, trust, checked)``.
    formats : tuple of SourceFormat
        What it opens, as users read it.
    checker : str
        Full name of the module of `safety` that has ``check(path)``, which looks at files before the opener may; ""
        where it opens none.
    endings : tuple of str
        Of its files, in lower case.
    marker : str
        File that makes the folder around it a model; "" where folders are none.
    examples : str
        Its files in words, with their articles.
    unmistakable : tuple of str
        Endings that nothing but models have, so that napari may hand over such files.
    packages : tuple of str
        What the adapter's folder alone may import.
    extra : str
        Extra of this package that installs what it needs; "" where nothing is missing.
    fixed_size : bool
        Whether its files say which size they take, so that nobody need be asked.
    """

    name: str
    label: str
    opener: str
    formats: tuple[SourceFormat, ...]
    checker: str = ""
    endings: tuple[str, ...] = ()
    marker: str = ""
    examples: str = ""
    unmistakable: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str = ""
    fixed_size: bool = False

    def adapter(self) -> Any:  # noqa: ANN401 - a module
        """Import the adapter, and with it its framework.

        Raises
        ------
        ModelError
            If its extra is not installed.
        """
        try:
            return import_module(self.opener)
        except ImportError as error:
            if not self.extra:
                raise
            raise ModelError(
                f"{self.label} is not installed here: pip install 'napari-saliency[{self.extra}]', then start again"
            ) from error

    def check(self, path: Path) -> Any:  # noqa: ANN401 - whatever its opener is to read
        """Look through a file or folder; see `safety.check`, the door that calls this."""
        return import_module(self.checker).check(path)

    @property
    def opens_files(self) -> bool:
        """True if it opens files or folders, which are looked through before; False if it has weights alone."""
        return bool(self.endings or self.marker)

    @property
    def patterns(self) -> tuple[str, ...]:
        """File names as dialogs filter them, as in ``*.keras``."""
        return (*(f"*{ending}" for ending in self.endings), *filter(None, [self.marker]))


_KERAS = "napari_saliency.models.keras.files"

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "keras",
            "Keras",
            _KERAS,
            (
                SourceFormat(
                    "`.keras`: flat, nested, transfer-learning, subclassed",
                    'the file; classes of your own with `custom="package.module"`',
                ),
                SourceFormat(
                    "`.h5`, `.hdf5` of Keras 1, 2 and 3",
                    "the file; what Keras 3 no longer reads is translated in a copy",
                ),
                SourceFormat("SavedModel folder of TensorFlow 1 or 2", "the folder: its serving signature"),
            ),
            checker="napari_saliency.models.safety.keras_files",
            endings=(".keras", ".h5", ".hdf5"),
            marker="saved_model.pb",
            examples="a .keras or .h5 file, a SavedModel folder",
            unmistakable=(".keras",),
            packages=("keras", "tensorflow", "h5py"),
            fixed_size=True,
        ),
        Backend(
            "application",
            "keras.applications",
            _KERAS,
            (
                SourceFormat(
                    "a classifier of `keras.applications`", "`keras:NAME`, `keras:NAME?weights=FILE`"
                ),
            ),
            fixed_size=True,
        ),
        Backend(
            "torch",
            "PyTorch",
            "napari_saliency.models.torch.adapter",
            (
                SourceFormat("PyTorch, saved by `torch.export.save` (`.pt2`)", "the file"),
                SourceFormat("TorchScript (`.pt`, `.pth`, `.ts`)", "the file"),
            ),
            checker="napari_saliency.models.safety.torch_archives",
            endings=(".pt2", ".pt", ".pth", ".ts"),
            examples="PyTorch's .pt2 or TorchScript file",
            unmistakable=(".pt2",),
            packages=("torch",),
            extra="torch",
        ),
        Backend(
            "onnx",
            "ONNX",
            "napari_saliency.models.onnx.adapter",
            (SourceFormat("ONNX (`.onnx`)", "the file", "scores: every method that needs no derivative"),),
            checker="napari_saliency.models.safety.onnx_files",
            endings=(".onnx",),
            examples="an .onnx file",
            packages=("onnx", "onnxruntime"),
            extra="onnx",
        ),
        Backend(
            "python",
            "Python",
            "napari_saliency.models.python.adapter",
            (
                SourceFormat(
                    "weights alone (`.pth`, `.weights.h5`)",
                    "`python:package.module:factory?weights=FILE`, with the function that builds the network",
                ),
                SourceFormat("a network that Python builds", "`python:package.module:name`"),
                SourceFormat(
                    "any function (N, H, W, C) → (N, K), or of volumes (N, Z, H, W, C)",
                    "`python:package.module:function`",
                    "scores; gradients if it has an attribute `gradient`",
                ),
            ),
        ),
    )
}
"""Every adapter by its name, in the order in which users read of them."""


def endings() -> tuple[str, ...]:
    """Return the endings of all files that open here."""
    return tuple(ending for backend in BACKENDS.values() for ending in backend.endings)


def find_backend(path: Path) -> Backend | None:
    """Find what opens a file, by its ending, or a folder, by what lies in it; None where nothing does."""
    backends = BACKENDS.values()
    folders = (backend for backend in backends if backend.marker and (path / backend.marker).is_file())
    files = (backend for backend in backends if path.suffix.lower() in backend.endings)
    return next(folders, None) or next(files, None)


def model_folder(path: Path) -> Path | None:
    """Return the folder that is a model, if a path is one or names the file that makes it one."""
    for backend in BACKENDS.values():
        if backend.marker and path.name == backend.marker:
            return path.parent
        if backend.marker and (path / backend.marker).is_file():
            return path
    return None


def describe_files() -> str:
    """Say in words which files open here: ``a .keras or .h5 file, …, or an .onnx file``."""
    *first, last = [backend.examples for backend in BACKENDS.values() if backend.examples]
    return f"{', '.join(first)}, or {last}"


def dialog_filter() -> str:
    """Return the filter of a file dialog, as Qt writes it: all models first, then those of each backend."""
    named = [backend for backend in BACKENDS.values() if backend.patterns]
    every = " ".join(pattern for backend in named for pattern in backend.patterns)
    return ";;".join([f"Models ({every})", *(f"{each.label} ({' '.join(each.patterns)})" for each in named)])


def formats() -> Iterator[SourceFormat]:
    """Yield the rows of the table of what opens, for documents."""
    for backend in BACKENDS.values():
        yield from backend.formats


def keep_triton_out() -> None:
    """Let nobody import triton after TensorFlow.

    Both bring an LLVM of their own, and the process crashes when triton's is loaded second (tensorflow#124205).
    PyTorch imports triton, which comes with its builds for GPUs, to compile; where there is none it does without.
    """
    if "tensorflow" in sys.modules:
        sys.modules.setdefault("triton", cast("ModuleType", None))  # what makes an import fail
