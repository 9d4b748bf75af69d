"""Which maps are fetched ahead: the top ones, quick ones, and none for ever."""

import time

import pytest

from napari_saliency.session import prefetch
from napari_saliency.session.prefetch import PREFETCH, Prefetcher
from napari_saliency.session.runs import Job
from tests.fakes import prediction

SAID = prediction(20)


def run(*, quiet, seconds=0.0):
    return Job(1, None, quiet, first=time.monotonic() - seconds)


def test_the_top_classes_are_worth_fetching():
    assert Prefetcher().classes(SAID) == SAID.order()[:PREFETCH].tolist()


@pytest.mark.parametrize(("seconds", "count"), [(1, PREFETCH), (2 * prefetch.PREFETCH_SECONDS, 0)])
def test_a_slow_method_is_not_run_without_being_asked(seconds, count):
    ahead = Prefetcher()
    ahead.count(run(quiet=False, seconds=seconds))
    assert len(ahead.classes(SAID)) == count


def test_no_more_than_the_top_classes_are_fetched_until_the_user_asks_again():
    ahead = Prefetcher()
    for _ in range(PREFETCH):
        assert ahead.classes(SAID)
        ahead.count(run(quiet=True))
    assert not ahead.classes(SAID)
    ahead.begin()
    assert ahead.classes(SAID)
