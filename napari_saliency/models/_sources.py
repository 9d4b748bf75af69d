"""Where models come from: ``bundled:NAME``, ``keras:NAME?weights=...``, ``python:MODULE:NAME``, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_saliency._types import ModelError

BUNDLED = Path(__file__).parents[1] / "bundled"
SUFFIXES = (".keras", ".h5", ".hdf5")
TORCH_SUFFIXES = (".pt2", ".pt", ".pth", ".ts")
KINDS = {".onnx": "onnx", **dict.fromkeys(SUFFIXES, "file"), **dict.fromkeys(TORCH_SUFFIXES, "torch")}
FILES = "a .keras or .h5 file, PyTorch's .pt2 or TorchScript file, or an .onnx file"

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
    kind : {"file", "keras", "torch", "onnx", "python"}
        Keras' files, bundled ones among them; an application; PyTorch's files; ONNX files; what Python builds.
    name : str
        As the user reads it; the application's name if ``kind`` is "keras".
    path : Path, optional
        The file; of what Python builds, the file of its weights.
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
    if text.startswith("bundled:"):
        return _bundled(text.removeprefix("bundled:"))
    if text.startswith("keras:"):
        return _application(text.removeprefix("keras:"))
    if text.startswith("python:"):
        return _python(text.removeprefix("python:"))
    path = Path(text).expanduser().resolve()
    if not path.exists():
        raise ModelError(
            f"there is no file {text!r}; give {FILES}, keras:NAME, bundled:NAME or python:MODULE:NAME"
        )
    suffix = path.suffix.lower()
    if suffix not in KINDS or not path.is_file():
        raise ModelError(f"{path.name!r} is not a model that opens here: give {FILES}")
    return Source(KINDS[suffix], path.stem, path)


def _bundled(name: str) -> Source:
    if name not in bundled():
        raise ModelError(f"no bundled model {name!r}; there are {', '.join(bundled())}")
    return Source("file", name, BUNDLED / f"{name}.keras", bundled=True)


def _application(text: str) -> Source:
    name, _, query = text.partition("?")
    if name not in APPLICATIONS:
        raise ModelError(f"keras.applications has no {name!r}; it has {', '.join(APPLICATIONS)}")
    key, _, weights = query.partition("=")
    if query and (key != "weights" or not weights):
        raise ModelError(f"{query!r} is not understood: write keras:{name}?weights=FILE or ?weights=none")
    if weights not in ("", "none", "imagenet") and not Path(weights).expanduser().exists():
        raise ModelError(f"there is no weights file {weights!r}")
    return Source("keras", name, weights=weights or "imagenet")


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
