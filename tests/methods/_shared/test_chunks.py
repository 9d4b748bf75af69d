"""How a long method is cut into steps."""

import pytest

from napari_saliency.methods._shared.chunks import chunks


@pytest.mark.parametrize("total", [1, 2, 3, 10, 50, 64, 1000])
@pytest.mark.parametrize("count", [1, 3, 8, 20])
@pytest.mark.parametrize("batch", [1, 4, 8])
def test_steps_cover_all_samples_once_and_in_order(total, count, batch):
    ranges = list(chunks(total, count, batch))
    assert [sample for start, stop in ranges for sample in range(start, stop)] == list(range(total))


def test_the_first_step_is_small_and_the_others_full():
    assert list(chunks(20, 1, 8)) == [(0, 2), (2, 10), (10, 18), (18, 20)]


@pytest.mark.parametrize(("count", "batch"), [(1, 8), (3, 8), (8, 8), (2, 4)])
def test_no_call_has_more_pictures_than_the_model_wants(count, batch):
    assert max((stop - start) * count for start, stop in chunks(50, count, batch)) <= batch


def test_one_sample_at_a_time_is_the_least():
    assert list(chunks(3, 20, 8)) == [(0, 1), (1, 2), (2, 3)]
