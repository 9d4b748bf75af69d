"""Errors that say what a model cannot do, and what to do instead."""

from __future__ import annotations


class ModelError(Exception):
    """A model cannot do what was asked; the message says why and what to do instead."""


class UntrustedError(ModelError):
    """A model is a program, and nobody has said that it may run.

    Parameters
    ----------
    message : str
        Names the program, and what to do.
    program : str
        Path of its file.
    """

    def __init__(self, message: str, program: str) -> None:
        super().__init__(message, program)  # all of them, so that it can be pickled
        self.program = program

    def __str__(self) -> str:
        return str(self.args[0])


class ModelTimeoutError(ModelError):
    """A model does not come to an end; it goes on computing until its process ends."""
