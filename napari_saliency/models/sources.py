"""Where models come from: ``bundled:NAME``, ``keras:NAME?weights=...``, ``python:MODULE:NAME``, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_saliency.core.errors import ModelError

BUNDLED = Path(__file__).parents[1] / "bundled"

Kind = Literal["keras", "torch", "onnx", "application", "python"]

FILES: Mapping[str, Kind] = {
    **dict.fromkeys((".keras", ".h5", ".hdf5"), "keras"),
    **dict.fromkeys((".pt2", ".pt", ".pth", ".ts"), "torch"),
    ".onnx": "onnx",
}
"""Which adapter opens a file, by its suffix."""

FILES_IN_WORDS = (
    "a .keras or .h5 file, a SavedModel folder, PyTorch's .pt2 or TorchScript file, or an .onnx file"
)

# What each family of keras.applications expects; "none" scales inside. A test holds it against Keras.
FAMILIES = {
    "MobileNetV2": "tf",
    "MobileNetV3": "none",
    "MobileNet": "tf",
    "EfficientNet": "none",
    "ConvNeXt": "none",
    "DenseNet": "torch",
    "InceptionResNetV2": "tf",
    "InceptionV3": "tf",
    "NASNet": "tf",
    "Xception": "tf",
    "VGG": "caffe",
}
APPLICATIONS = (
    *("MobileNetV2", "MobileNet", "MobileNetV3Large", "MobileNetV3Small"),
    *("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"),
    *("DenseNet121", "DenseNet169", "DenseNet201", "InceptionV3", "InceptionResNetV2", "Xception"),
    *(f"EfficientNetB{i}" for i in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("NASNetMobile", "NASNetLarge"),
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
)


@dataclass(frozen=True)
class Source:
    """A parsed source.

    Attributes
    ----------
    kind : {"keras", "torch", "onnx", "application", "python"}
        Keras' files, bundled ones among them, and SavedModel folders; PyTorch's files; ONNX files;
        one of ``keras.applications``; what Python builds.
    name : str
        As the user reads it; the application's name if it is one.
    path : Path, optional
        The file, or the folder of a SavedModel; of what Python builds, the file of its weights.
    weights : str
        Of an application: "imagenet", "none" or a file.
    bundled : bool
        Whether the model came with this package.
    module, attribute : str
        Of what Python builds: the module, and the name in it.
    """

    kind: Kind
    name: str
    path: Path | None = None
    weights: str = "imagenet"
    bundled: bool = False
    module: str = ""
    attribute: str = ""

    def __str__(self) -> str:
        """Write the source as `parse` takes it."""
        if self.bundled:
            return f"bundled:{self.name}"
        if self.kind == "python":
            return f"python:{self.module}:{self.attribute}{f'?weights={self.path}' if self.path else ''}"
        weights = "" if self.weights == "imagenet" else f"?weights={self.weights}"
        return str(self.path or f"keras:{self.name}{weights}")


def catalogue() -> list[str]:
    """Sources that need no file of the user's, the bundled ones first."""
    return [f"bundled:{name}" for name in bundled()] + [f"keras:{name}" for name in APPLICATIONS]


def bundled() -> list[str]:
    """Names of the models that come with this package; the one to begin with first."""
    names = sorted(path.stem for path in BUNDLED.glob("*.keras"))
    return sorted(names, key=lambda name: name != "photos")


def parse(source: str | Path) -> Source:
    """Understand what `load_model` was given.

    Raises
    ------
    ModelError
        If there is nothing of that name; the message says what there is.
    """
    text = str(source)
    if not text.strip():
        raise ModelError(
            f"{text!r} names no model: give {FILES_IN_WORDS}, keras:NAME, bundled:NAME or python:MODULE:NAME"
        )
    if text.startswith("bundled:"):
        return _bundled(text.removeprefix("bundled:"))
    if text.startswith("keras:"):
        return _application(text.removeprefix("keras:"))
    if text.startswith("python:"):
        return _python(text.removeprefix("python:"))
    path = Path(text).expanduser().resolve()
    if path.name == "saved_model.pb":
        path = path.parent
    if (path / "saved_model.pb").is_file():
        return Source("keras", path.name, path)
    if not path.exists():
        raise ModelError(
            f"there is no file {text!r}; give {FILES_IN_WORDS}, keras:NAME, bundled:NAME or python:MODULE:NAME"
        )
    kind = FILES.get(path.suffix.lower())
    if kind is None or not path.is_file():
        raise ModelError(f"{path.name!r} is not a model that opens here: give {FILES_IN_WORDS}")
    return Source(kind, path.stem, path)


def _bundled(name: str) -> Source:
    if name not in bundled():
        raise ModelError(f"no bundled model {name!r}; there are {', '.join(bundled())}")
    return Source("keras", name, BUNDLED / f"{name}.keras", bundled=True)


def _application(text: str) -> Source:
    name, _, query = text.partition("?")
    if name not in APPLICATIONS:
        raise ModelError(f"keras.applications has no {name!r}; it has {', '.join(APPLICATIONS)}")
    key, _, weights = query.partition("=")
    if query and (key != "weights" or not weights):
        raise ModelError(f"{query!r} is not understood: write keras:{name}?weights=FILE or ?weights=none")
    if weights not in ("", "none", "imagenet") and not Path(weights).expanduser().exists():
        raise ModelError(f"there is no weights file {weights!r}")
    return Source("application", name, weights=weights or "imagenet")


def _python(text: str) -> Source:
    name, _, query = text.partition("?")
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ModelError(f"'python:{name}' is not understood: write python:PACKAGE.MODULE:NAME")
    key, _, weights = query.partition("=")
    if query and (key != "weights" or not weights):
        raise ModelError(f"{query!r} is not understood: write python:{name}?weights=FILE")
    path = Path(weights).expanduser().resolve() if weights else None
    if path is not None and not path.is_file():
        raise ModelError(f"there is no weights file {weights!r}")
    return Source("python", attribute, path, module=module, attribute=attribute)


def family(name: str) -> str | None:
    """Preprocessing that a network of this name expects if it is what its name says."""
    plain = name.lower().replace("_", "").replace("-", "")
    if plain.startswith("resnet"):
        return "tf" if "v2" in plain else "caffe"
    return next((mode for key, mode in FAMILIES.items() if plain.startswith(key.lower())), None)


def display_path(path: Path) -> str:
    """Name of a file, cut where it is very long."""
    return path.name if len(path.name) <= 80 else f"{path.name[:40]}…{path.name[-30:]}"
