"""Errors raised by models, and quotations in messages; these name the bad value and the way out."""

from __future__ import annotations

LONGEST_QUOTE = 120  # characters: a message is read on one screen, whatever a file or a user holds


class ModelError(Exception):
    """Raised if a model cannot be opened or lacks an operation; the message says what to do instead."""


class UntrustedError(ModelError):
    """Raised if opening a model would run a program that the user has not approved.

    Parameters
    ----------
    message : str
        Names the program, and how to approve it.
    program : str
        Path of the program's file.
    """

    def __init__(self, message: str, program: str) -> None:
        super().__init__(message, program)  # exceptions are pickled by their args, which must fit __init__
        self.program = program

    def __str__(self) -> str:
        return str(self.args[0])


class ModelTimeoutError(ModelError):
    """Raised if a model exceeds its timeout; its computation goes on until the process ends."""


def quote(value: object) -> str:
    """Return a value as Python writes it, for a message; long ones lose their middle, as ends tell more of a path."""
    text = repr(value)
    return text if len(text) <= LONGEST_QUOTE else f"{text[:70]}…{text[-45:]}"
