"""The command ``napari-saliency``: open napari with images and the panel.

napari is imported only when a window opens, so that ``--help`` and errors in arguments appear at once.
TensorFlow is never imported here: it crashes in a process that has a window.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import napari

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

Photos = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PHOTO", help="Images to open.", exists=True, dir_okay=False, readable=True),
]
ModelSource = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="bundled:NAME, keras:NAME, python:MODULE:NAME, or a model file."
    ),
]
Demo = Annotated[bool, typer.Option("--demo", help="Open a sample photo with its map.")]
Screenshot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png",
        help="With --demo: save a screenshot of the window to this file, and exit.",
        dir_okay=False,
    ),
]


@app.command()
def main(
    photos: Photos = None, model: ModelSource = None, demo: Demo = False, screenshot: Screenshot = None
) -> None:
    """Open napari with PHOTOs and the saliency panel."""
    # napari's default theme follows the system's; napari warns if Qt 5 cannot detect it.
    warnings.filterwarnings("ignore", "System theme detection")
    if demo:
        _run_demo(photos, model, screenshot)
        return
    if screenshot is not None:
        raise typer.BadParameter("works only together with --demo", param_hint="--screenshot")
    if model is not None:
        _check_model(model)
    _open_window(photos or [], model)


def _run_demo(photos: list[Path] | None, model: str | None, screenshot: Path | None) -> None:
    if photos or model:
        raise typer.BadParameter("has its own photo and model: omit PHOTO and --model", param_hint="--demo")
    if screenshot is not None and not screenshot.absolute().parent.is_dir():
        raise typer.BadParameter(f"the folder {screenshot.parent} does not exist", param_hint="--screenshot")
    from napari_saliency.app import demo as app_demo

    app_demo.run(screenshot)


def _check_model(source: str) -> None:
    """Raise BadParameter for a model that does not exist; in a terminal, ask whether to trust a program."""
    from napari_saliency.core.errors import ModelError
    from napari_saliency.models import needs_trust, program, trust

    try:
        if not needs_trust(source) or not _is_interactive():  # without a terminal the panel asks
            return
        typer.confirm(
            f"Opening {source} runs the program {program(source)} on this computer. Do you trust its author?",
            default=False,
            abort=True,
        )
        trust(source)
    except (ModelError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--model") from error


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _open_window(photos: list[Path], model: str | None) -> None:
    import napari

    viewer = napari.Viewer()
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    if model is not None:
        panel.choose_model(model)
    for photo in photos:
        _open_photo(viewer, photo)
    napari.run()


def _open_photo(viewer: napari.Viewer, photo: Path) -> None:
    try:
        viewer.open(photo, plugin="napari")
    except Exception as error:
        viewer.close()
        raise typer.BadParameter(
            f"{photo} is not an image that napari can read", param_hint="PHOTO"
        ) from error
