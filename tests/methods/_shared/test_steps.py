"""Long methods step by step: how they are cut into calls, prepared ahead, and counted."""

import threading
from itertools import product

import pytest

from napari_saliency.methods._shared.steps import Progress, chunks, prefetch

TOTALS, COUNTS, BATCHES = (1, 2, 3, 10, 50, 64, 1000), (1, 3, 8, 20), (1, 4, 8)


@pytest.mark.parametrize("total", TOTALS)
def test_steps_cover_all_samples_once_and_in_order(total):
    for count, batch in product(COUNTS, BATCHES):
        ranges = list(chunks(total, count, batch))
        assert [sample for start, stop in ranges for sample in range(start, stop)] == list(range(total))


def test_the_first_step_is_small_and_the_others_full():
    assert list(chunks(20, 1, 8)) == [(0, 2), (2, 10), (10, 18), (18, 20)]


@pytest.mark.parametrize(("count", "batch"), [(1, 8), (3, 8), (8, 8), (2, 4)])
def test_no_call_has_more_pictures_than_the_model_wants(count, batch):
    assert max((stop - start) * count for start, stop in chunks(50, count, batch)) <= batch


def test_one_sample_at_a_time_is_the_least():
    assert list(chunks(3, 20, 8)) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("count", [0, 1, 2, 10])
def test_the_same_parts_in_the_same_order(count):
    assert list(prefetch(iter(range(count)))) == list(range(count))


def test_the_next_part_is_made_while_one_is_in_use():
    made = [threading.Event() for _ in range(3)]

    def parts():
        for event in made:
            event.set()
            yield event

    for number, _ in enumerate(prefetch(parts())):
        assert made[min(number + 1, 2)].wait(10)


def test_no_more_than_one_part_is_waiting():
    made = []
    parts = prefetch(made.append(number) or number for number in range(10))
    for number in parts:
        if number == 5:
            break
    parts.close()
    assert made in (list(range(6)), list(range(7)))


def test_what_goes_wrong_is_raised_in_its_place():
    def parts():
        yield 1
        raise MemoryError("no room")

    result = prefetch(parts())
    assert next(result) == 1
    with pytest.raises(MemoryError, match="no room"):
        next(result)


def test_the_first_part_is_made_at_once():
    begun = threading.Event()
    result = prefetch(begun.set() for _ in range(2))
    assert begun.wait(10)
    assert list(result) == [None, None]


def by_worker(workers, begun):
    """Parts that say in which threads they were made."""
    for number in range(10):
        workers.add(threading.current_thread())
        begun.set()
        yield number


def assert_ended(workers):
    (worker,) = workers
    assert worker is not threading.current_thread()
    worker.join(10)
    assert not worker.is_alive()


def test_no_thread_is_left_when_it_is_never_used():
    workers, begun = set(), threading.Event()
    parts = prefetch(by_worker(workers, begun))
    assert begun.wait(10)
    del parts
    assert_ended(workers)


def test_no_thread_is_left_when_it_is_given_up():
    workers = set()
    parts = prefetch(by_worker(workers, threading.Event()))
    next(parts)
    del parts
    assert_ended(workers)


def test_whoever_gives_up_does_not_wait():
    going = threading.Event()

    def parts():
        yield 1
        going.wait(10)
        yield 2

    result = prefetch(parts())
    next(result)
    result.close()
    assert not going.is_set()
    going.set()


def test_progress_of_steps_that_report_their_own_ends_where_it_was_said_to_end():
    progress, seen = Progress(4), []
    for together in (1, 3):
        step = progress.sub(together)
        for done in (1, 2, 5):
            assert step.update(done, 5)
            seen.append((progress.done, progress.total))
    assert seen == [(1, 20), (2, 20), (5, 20), (8, 20), (11, 20), (20, 20)]


def test_progress_has_no_total_before_the_first_report():
    assert (Progress(3).done, Progress(3).total) == (0, 0)


def test_a_step_with_another_total_counts_as_many_units_as_the_first():
    progress = Progress(2)
    progress.sub().update(4, 4)
    step = progress.sub()
    assert not step.update(0, 100)
    assert step.update(50, 100)
    assert (progress.done, progress.total) == (6, 8)
    assert not step.update(51, 100)  # less than a unit
    assert step.update(100, 100)
    assert progress.done == progress.total
