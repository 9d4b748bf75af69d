"""Networks with loops may compute for ever: when one is opened, its first answers must come within eight seconds.

Others always end. PyTorch and TensorFlow cannot be interrupted in the middle of a loop, by Python's Ctrl-C least
of all, so that a thread of its own is left to it. The viewer then takes another engine; see `session.model_loader`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

from napari_saliency.core.errors import ModelTimeoutError

T = TypeVar("T")

TIMEOUT = 8.0
"""Seconds that a network with loops may take for what is found out when it is opened."""


def with_timeout(call: Callable[[], T], *, loops: bool, stop: Callable[[], object] | None = None) -> T:
    """Call something that runs a network, for so long and no longer if the network has loops.

    Parameters
    ----------
    call : callable
        Runs the network.
    loops : bool
        Whether it has any.
    stop : callable, optional
        Called, where that can be done, to end what did not end by itself.

    Raises
    ------
    ModelTimeoutError
        If it does not end.
    """
    if not loops:
        return call()
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()  # Python does not wait for it when it ends
    try:
        done, _ = wait([future], timeout=TIMEOUT)
    finally:  # also when the user does not want to wait any longer
        if stop and not future.done():
            stop()
            wait([future], timeout=1)
    if not done:
        raise ModelTimeoutError(
            f"it has a loop, and no answer came within {TIMEOUT:.0f} s: it does not end, or takes far too long"
        )
    return future.result()
