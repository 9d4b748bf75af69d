"""Two kinds of test process, an empty home for each, and the test data.

TensorFlow and a window with OpenGL in one process crash. So ``pytest`` collects the modules without a
window, and ``pytest --viewer`` those whose ``pytestmark`` names ``viewer``; neither imports the other's.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = {"jax", "keras", "onnxruntime", "tensorflow", "torch"}
VIEWER_MODULE = re.compile(r"^pytestmark\b.*\bmark\.viewer\b", re.MULTILINE)

# Before anything of napari's is imported: plugins are loaded before options are parsed, and napari
# settles where its settings lie when it is imported.
HOME = Path(tempfile.mkdtemp(prefix="napari-saliency-tests-"))
os.environ |= {
    "KERAS_HOME": str(HOME / "keras"),
    "NAPARI_CONFIG": str(HOME / "napari" / "settings.yaml"),
    "XDG_CACHE_HOME": str(HOME / "cache"),
    "XDG_CONFIG_HOME": str(HOME / "config"),
    "XDG_DATA_HOME": str(HOME / "data"),
    "XDG_STATE_HOME": str(HOME / "state"),
}
# One binding for both: left alone, pytest-qt takes PyQt6 where qtpy, and so napari, takes PyQt5.
os.environ.setdefault("QT_API", "pyqt5" if find_spec("PyQt5") else "pyqt6")
os.environ["PYTEST_QT_API"] = os.environ["QT_API"]
pytest_plugins = ["pytestqt.plugin", "napari.utils._testsupport"] if "--viewer" in sys.argv else []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--viewer", action="store_true", help="run the tests that need a window, and no others")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.viewer and not (os.environ.get("DISPLAY") or sys.platform in ("darwin", "win32")):
        raise pytest.UsageError("the viewer's tests need a display; `make test-viewer` brings its own")


def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.suffix != ".py" or collection_path.name == "conftest.py":
        return None
    needs_window = VIEWER_MODULE.search(collection_path.read_text(encoding="utf-8")) is not None
    return True if needs_window != config.option.viewer else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if config.option.viewer and item.get_closest_marker("framework"):
            raise pytest.UsageError(
                f"{item.nodeid} needs a window and TensorFlow, which crash in one process"
            )
        if item.get_closest_marker("viewer") and not config.option.viewer:
            raise pytest.UsageError(
                f"{item.nodeid} needs a window, but its module does not say so; "
                "put such tests into a module with `pytestmark = pytest.mark.viewer`"
            )


def pytest_report_header(config: pytest.Config) -> str:
    if config.option.viewer:
        return f"viewer: yes, with {os.environ['QT_API']}"
    return "viewer: no (pytest --viewer runs its tests, in a process without TensorFlow)"


@pytest.fixture
def viewer():
    """What a window of napari's shows, without the window."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture(autouse=True)
def _no_framework_beside_a_window(request: pytest.FixtureRequest):
    yield
    if request.config.option.viewer:
        assert not FRAMEWORKS & set(sys.modules), "the viewer's process must never import a framework"


@pytest.fixture(autouse=True)
def _nothing_remembered(request: pytest.FixtureRequest):
    if request.config.option.viewer:
        from napari_saliency.widgets.preferences import settings

        settings().clear()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real networks and photos; tests that use it are marked ``data``."""
    folder = Path(os.environ.get("NAPARI_SALIENCY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there is no test data in {folder}; name its folder in NAPARI_SALIENCY_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def fresh_interpreter():
    """Run code with arguments in a Python of its own and return the words that it prints."""

    def run(code: str, *arguments: str) -> list[str]:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run
