"""What is said of a model, and what of that holds when something else is said."""

import pytest

from napari_saliency.models import Settings
from napari_saliency.session.settings_edit import joined

SIZE, KIND = {"output": "size"}, {"output": "kind"}
NAMES, NUMBER = {"labels": ("a",)}, {"task": "regression"}
SHOWN = "kind"


@pytest.mark.parametrize(
    ("before", "now", "holds"),
    [
        (NAMES | {"fit": "pad"}, {"preprocessing": "tf"}, NAMES | {"fit": "pad", "preprocessing": "tf"}),
        (NAMES, NUMBER, NUMBER),
        (NAMES | NUMBER, NUMBER, NAMES | NUMBER),
        (
            SIZE | NUMBER,
            KIND | NUMBER,
            KIND | {"outputs": {"size": NUMBER}},
        ),  # the form still shows that kind
        (KIND | NAMES, KIND | {"fit": "pad"}, KIND | NAMES | {"fit": "pad"}),
        (KIND | NAMES, SIZE | {"labels": ("b",)}, SIZE | {"labels": ("b",), "outputs": {"kind": NAMES}}),
        (SIZE | {"outputs": {"kind": NAMES}}, KIND | NUMBER, KIND | NAMES),
        (NAMES, SIZE, SIZE | {"outputs": {SHOWN: NAMES}}),  # nobody had said which output they are of
        (NAMES, KIND, KIND | NAMES),
    ],
)
def test_names_and_kind_belong_to_an_output(before, now, holds):
    assert joined(Settings(**before), Settings(**now), SHOWN) == Settings(**holds)


def test_names_of_every_output_are_kept():
    said = Settings()
    for output, names in (("kind", "ab"), ("size", "xyz"), ("age", "01")):
        said = joined(said, Settings(output=output, labels=tuple(names)), SHOWN)
    for output, names in (("kind", "ab"), ("size", "xyz"), ("age", "01"), ("kind", "ab")):
        said = joined(said, Settings(output=output), SHOWN)
        assert said.labels == tuple(names)
