"""Executors that run in the test's own thread, at once or when told to."""

from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool


class Immediate(Executor):
    """Runs each call when it is submitted."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it goes into the future
            future.set_exception(error)
        return future

    def shutdown(self, wait=True, *, cancel_futures=False, kill_workers=False):
        pass


class Manual(Executor):
    """Keeps calls until the test lets the next one run, or breaks the process."""

    def __init__(self):
        self.calls = []
        self.broken = self.killed = False

    def submit(self, function, /, *args, **kwargs):
        if self.broken:
            raise BrokenProcessPool("the process is gone")
        future = Future()
        self.calls.append((future, lambda: function(*args, **kwargs)))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False, kill_workers=False):
        self.killed = kill_workers
        self.broken = True

    def run_next(self):
        future, call = self.calls.pop(0)
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - it goes into the future
            future.set_exception(error)
        else:
            future.set_result(result)

    def run_all(self, most=1000):
        while self.calls and most:
            self.run_next()
            most -= 1

    def die(self):
        """End as a killed process does: every call that is under way or waits fails."""
        self.broken = True
        calls, self.calls = self.calls, []
        for future, _ in calls:
            future.set_exception(BrokenProcessPool("the process was killed"))
