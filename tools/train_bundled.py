"""Train and measure the bundled models, and draw their sample images.

    python tools/train_bundled.py digits --data FOLDER       train bundled:digits      (6 minutes)
    python tools/train_bundled.py watermark                  train bundled:watermark   (5 minutes)
    python tools/train_bundled.py photos --data FOLDER       train bundled:photos      (an hour)
    python tools/train_bundled.py samples                    draw the sample images
    python tools/train_bundled.py verify --data FOLDER       measure the saved files

FOLDER contains ``photos_open10.npz`` and, unless Keras can download MNIST, ``mnist/mnist.npz``; its default is the
environment variable NAPARI_SALIENCY_TEST_DATA. Requires TensorFlow, scikit-image, Pillow and 4 GB of memory.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bundled import digits, files, photos, samples, verify, watermark

MODELS = ("digits", "photos", "watermark")


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        Command line without the program's name.

    Returns
    -------
    int
        Exit status.
    """
    options = _parser().parse_args(arguments)
    if options.command == "samples":
        for path in samples.write():
            print(path.relative_to(files.PACKAGE), path.stat().st_size)
    elif options.command == "verify":
        _verify(options.only or MODELS, options.data, options.write_cards)
    elif options.command == "watermark":
        watermark.train()
    elif options.command == "digits":
        digits.train(options.data)
    else:
        photos.train(_required(options.data), options.keep)
    return 0


def _verify(names: list[str] | tuple[str, ...], folder: Path | None, write_cards: bool) -> None:
    for name in names:
        lines = verify.measure(name, folder)
        print("\n".join([f"## bundled:{name}", "", *lines, ""]), flush=True)
        if write_cards:
            verify.write_into_card(name, lines)


def _required(folder: Path | None) -> Path:
    if folder is None:
        sys.exit("photos: give the folder of photos_open10.npz with --data")
    return folder


def _parser() -> argparse.ArgumentParser:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    commands = parser.add_subparsers(dest="command", required=True)
    given = os.environ.get("NAPARI_SALIENCY_TEST_DATA")
    default = Path(given) if given else None
    for command in (*MODELS, "samples", "verify"):
        sub = commands.add_parser(command)
        sub.add_argument("--data", type=Path, default=default, help="folder with the data")
        if command == "photos":
            sub.add_argument("--keep", type=Path, help="file (.weights.h5) to save intermediate weights")
        if command == "verify":
            sub.add_argument("--only", action="append", choices=MODELS, help="measure only this model")
            sub.add_argument(
                "--write-cards", action="store_true", help="write the figures into the model cards"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
