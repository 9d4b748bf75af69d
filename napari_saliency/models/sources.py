"""Sources of models: ``bundled:NAME``, ``keras:NAME?weights=...``, ``python:MODULE:NAME``, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.backends import describe_files, find_backend, model_folder

BUNDLED = Path(__file__).parents[1] / "bundled"

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
    kind : str
        Name of what opens it, a key of `BACKENDS`: "keras" of its files, bundled ones among them, and of
        SavedModel folders, "application" of one of ``keras.applications``, "python" of what Python builds.
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

    kind: str
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
    """List sources that need no file of the user's, the bundled ones first."""
    return [f"bundled:{name}" for name in bundled()] + [f"keras:{name}" for name in APPLICATIONS]


def bundled() -> list[str]:
    """List the models that come with this package; the one to begin with first."""
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
            f"{quote(text)} names no model: give {describe_files()}, keras:NAME, bundled:NAME or python:MODULE:NAME"
        )
    if text.startswith("bundled:"):
        return _bundled(text.removeprefix("bundled:"))
    if text.startswith("keras:"):
        return _application(text.removeprefix("keras:"))
    if text.startswith("python:"):
        return _python(text.removeprefix("python:"))
    path = Path(text).expanduser().resolve()
    path = model_folder(path) or path
    if not path.exists():
        raise ModelError(
            f"there is no file {quote(text)}; give {describe_files()}, keras:NAME, bundled:NAME or python:MODULE:NAME"
        )
    backend = find_backend(path)
    is_folder = path.is_dir()
    if backend is None or (is_folder and model_folder(path) is None) or not (is_folder or path.is_file()):
        raise ModelError(f"{quote(path.name)} is not a model that opens here: give {describe_files()}")
    return Source(backend.name, path.name if is_folder else path.stem, path)


def _bundled(name: str) -> Source:
    if name not in bundled():
        raise ModelError(f"there is no bundled model {quote(name)}; there are {', '.join(bundled())}")
    return Source("keras", name, BUNDLED / f"{name}.keras", bundled=True)


def _application(text: str) -> Source:
    name, _, query = text.partition("?")
    if name not in APPLICATIONS:
        raise ModelError(f"keras.applications has no {quote(name)}; it has {', '.join(APPLICATIONS)}")
    key, _, weights = query.partition("=")
    if query and (key != "weights" or not weights):
        raise ModelError(
            f"{quote(query)} is not understood: write keras:{name}?weights=FILE or ?weights=none"
        )
    if weights not in ("", "none", "imagenet") and not Path(weights).expanduser().exists():
        raise ModelError(f"there is no weights file {quote(weights)}")
    return Source("application", name, weights=weights or "imagenet")


def _python(text: str) -> Source:
    name, _, query = text.partition("?")
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ModelError(f"'python:{name}' is not understood: write python:PACKAGE.MODULE:NAME")
    key, _, weights = query.partition("=")
    if query and (key != "weights" or not weights):
        raise ModelError(f"{quote(query)} is not understood: write python:{name}?weights=FILE")
    path = Path(weights).expanduser().resolve() if weights else None
    if path is not None and not path.is_file():
        raise ModelError(f"there is no weights file {quote(weights)}")
    return Source("python", attribute, path, module=module, attribute=attribute)


def family(name: str) -> str | None:
    """Preprocessing that a network of this name expects if it is what its name says."""
    compact = name.lower().replace("_", "").replace("-", "")
    if compact.startswith("resnet"):
        return "tf" if "v2" in compact else "caffe"
    return next((mode for key, mode in FAMILIES.items() if compact.startswith(key.lower())), None)


def display_path(path: Path) -> str:
    """Return the name of a file, cut where it is very long."""
    return path.name if len(path.name) <= 80 else f"{path.name[:40]}…{path.name[-30:]}"
