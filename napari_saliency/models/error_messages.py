"""Frameworks' errors in one sentence, without their tracebacks, files and nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import format_size

LONGEST = 300

PREFACES = re.compile(
    r"Exception encountered when calling|Graph execution error|Detected at node|<stack traces|File \"|\[\[|"
    r"\d+ root error|Arguments received by"
)
"""Beginnings of lines in which Keras and TensorFlow say where an error arose, not what it is."""

CLUTTER = re.compile(
    r"\x1b\[\d*m"  # bold type, of Keras
    r"|^\(\d+\) [\w ]+: | for '{{node .*|\s*\[\[{{node.*|\s*\[Op:\w+\]"  # TensorFlow
    r"|\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ .*?\(.*?\) |\S+\.(?:h|cc):\d+ "
    r"|Non-zero status code returned while running \w+ node\. Name:'.*?' Status Message: "
)

CONDITION = re.compile(r"^.* was false\. ")
"""The condition that onnxruntime quotes from its source before it says what it means."""

RAISED = re.compile(r"[\w.]*(?:Error|Exception): (.+)")
"""The end of a traceback, of Python's or TorchScript's."""

TOO_SMALL = re.compile(
    r"Computed output size would be (?:zero or )?negative|Negative dimension size caused by"  # Keras
    r"|Kernel size can't be greater than actual input size|Output size is too small"  # PyTorch
    r"|Padding size should be less than the corresponding input dimension"
    r"|Guard failed: .*size\(\)\[\d+\] >=? \d+$|shape\[\d+\] to be >=? \d+"  # torch.export's
    r"|running \w*Conv node\..*Invalid input shape"  # onnxruntime, of a convolution with nowhere to stand
)


def reason(error: BaseException) -> str:
    """Find the line of a framework's error that says what is wrong; the error's type if none does."""
    lines = [CLUTTER.sub("", line.strip()).strip() for line in str(error).splitlines()]
    raised = (
        [match[1] for line in lines if (match := RAISED.match(line))] if "Traceback" in str(error) else []
    )
    given = raised[::-1] or [line for line in lines if line and not PREFACES.match(line)]
    return CONDITION.sub("", next(iter(given), type(error).__name__))[:LONGEST]


def is_too_small(error: BaseException) -> bool:
    """Return whether a framework says that nothing is left of a picture before the network's end."""
    return bool(TOO_SMALL.search(str(error)))


HINT = "; networks that take any size often need multiples of 32: set one in Settings or as size=(256, 384)"
LARGER = ": give a larger one, or set the size that it was trained on in Settings or as size=(256, 384)"


class NotRunError(ModelError):
    """A network could not be run on a picture."""

    hint = HINT
    """A way out for networks that take any size."""


class TooSmallError(NotRunError):
    """An image is used up by pooling or convolutions before the network ends."""

    hint = LARGER


def not_run(shape: tuple[int, ...], error: BaseException) -> NotRunError:
    """Say in a sentence why a framework could not run a network on a picture of a shape (*size, C)."""
    *space, _ = shape
    if is_too_small(error):
        kind = "picture of {} pixels" if len(space) == 2 else "volume of {} voxels"
        return TooSmallError(f"a {kind.format(format_size(space))} is too small for this model")
    return NotRunError(f"the model could not be run on images of shape {tuple(shape)}: {reason(error)}")


@contextmanager
def hinting(shape: tuple[int | None, ...]) -> Iterator[None]:
    """Say what may help where a network of a free size could not be run on a picture."""
    try:
        yield
    except NotRunError as error:
        raise ModelError(f"{error}{error.hint if None in shape else ''}") from error
