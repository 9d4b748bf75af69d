"""Keeps TensorFlow and PyTorch from ending one process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from types import ModuleType


def keep_out() -> None:
    """Let nobody import triton after TensorFlow.

    Both bring an LLVM of their own, and the process crashes when triton's is loaded second (tensorflow#124205).
    PyTorch imports triton, which comes with its builds for GPUs, to compile; where there is none it does without.
    """
    if "tensorflow" in sys.modules:
        sys.modules.setdefault("triton", cast("ModuleType", None))  # what makes an import fail
