"""What is said of a model, and what of that holds when something else is said."""

import pytest

from napari_saliency._answer import joined
from napari_saliency.models import Settings

SIZE, KIND = {"output": "size"}, {"output": "kind"}
NAMES, NUMBER = {"labels": ("a",)}, {"task": "regression"}


@pytest.mark.parametrize(
    ("before", "now", "holds"),
    [
        (NAMES | {"fit": "pad"}, {"preprocessing": "tf"}, NAMES | {"fit": "pad", "preprocessing": "tf"}),
        (NAMES, NUMBER, NUMBER),
        (NAMES | NUMBER, NUMBER, NAMES | NUMBER),
        (SIZE | NUMBER, KIND | NUMBER, KIND),  # the form still shows the kind of the output before
        (KIND | NAMES, KIND | {"fit": "pad"}, KIND | NAMES | {"fit": "pad"}),
        (KIND | NAMES, SIZE | {"labels": ("b",)}, SIZE | {"labels": ("b",)}),
    ],
)
def test_names_and_kind_belong_to_an_output(before, now, holds):
    assert joined(Settings(**before), Settings(**now)) == Settings(**holds)
