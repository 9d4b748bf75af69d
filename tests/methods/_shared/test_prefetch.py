"""What comes next is made while what came before is in use."""

import threading

import pytest

from napari_saliency.methods._shared.prefetch import prefetch


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


def test_no_thread_is_left_when_it_is_never_used():
    before = set(threading.enumerate())
    parts = prefetch(range(10))
    workers = set(threading.enumerate()) - before
    del parts
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()


def test_no_thread_is_left_when_it_is_given_up():
    before = set(threading.enumerate())
    parts = prefetch(range(10))
    next(parts)
    (worker,) = set(threading.enumerate()) - before
    del parts
    worker.join(10)
    assert not worker.is_alive()


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
