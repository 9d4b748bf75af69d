"""What a call holds in memory, measured so that it is the same each time."""

import gc
import tracemalloc


def most_memory(call) -> int:
    """Most bytes that ``call()`` holds at a time, beyond what was there before.

    Without the collector of cycles: when it comes is chance, and with it Python drops the objects it
    keeps for the next use, which are counted when they are made anew.
    """
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()
