"""What outlives the panel."""

import json

import pytest

from napari_saliency.methods import METHODS
from napari_saliency.session.state import ModelStatus, Phase
from napari_saliency.widgets import preferences as remembered
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.option_form import OptionForm
from tests.fakes import info, prediction
from tests.staged import StagedSession
from tests.widgets.acting import preview

pytestmark = pytest.mark.viewer


def test_that_it_is_unfolded_is_remembered(made):
    made(OptionForm).more.click()
    form = made(OptionForm)
    form.show_options(METHODS["smoothgrad"].options, {}, info())
    assert "seed" in preview(form)
    form.more.click()
    assert not made(OptionForm).more.isChecked()


def test_several_numbers_outlive_the_panel(made, session):
    options = {"window": (4, 16), "stride": (0, 8), "fill": (1.0, 2.5, 3.0)}
    made(MethodSection, session).choose("occlusion", **options)
    again = StagedSession(prediction(3))
    section = made(MethodSection, again)
    assert again.options == options
    assert section.options.widgets["stride"].native.text() == "automatic, 8"


def test_the_next_panel_has_the_method_and_its_options(made, session):
    section = made(MethodSection, session)
    section.choose("occlusion", window=9)
    section.choose("smoothgrad", samples=12, of="grad_cam", layer="early")
    again = StagedSession(prediction(3))
    following = made(MethodSection, again)
    assert following.method.currentData() == again.method == "smoothgrad"
    assert (again.options["samples"], again.options["of"]) == (12, "grad_cam")
    assert again.options["layer"] == ""  # which is that of a model
    assert following.options.widgets["samples"].value == 12
    following.choose("gradient")
    following.method.setCurrentIndex(following.method.findData("occlusion"))
    following.method.activated.emit(following.method.currentIndex())
    assert again.options["window"] == 9


def test_a_method_that_the_model_at_hand_cannot_answer_is_remembered_all_the_same(made, session):
    section = made(MethodSection, session)
    section.choose("smoothgrad")
    scores = ModelStatus(Phase.READY, "ready", "net.onnx", info(gives=frozenset({"scores"})))
    session.set_model(scores)
    assert session.method == "occlusion"
    again = StagedSession(prediction(3))
    made(MethodSection, again)
    assert again.method == "smoothgrad"


@pytest.mark.parametrize(
    "kept",
    [
        "no json",
        "[1]",
        '{"smoothgrad": 3}',
        json.dumps({"smoothgrad": {"samples": -4, "colour": "red", "noise": "much"}, "gone": {"a": 1}}),
    ],
)
def test_what_another_version_has_kept_does_no_harm(made, session, kept):
    remembered.settings().setValue("method", "gone")
    remembered.settings().setValue("options", kept)
    section = made(MethodSection, session)
    assert session.method == "gradient"
    section.method.setCurrentIndex(section.method.findData("smoothgrad"))
    section.method.activated.emit(section.method.currentIndex())
    assert session.options == METHODS["smoothgrad"].complete({})
