"""PyTorch's files: damaged ones, settings beside them, and PyTorch missing."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings, load_model
from napari_saliency.models.settings import SettingError
from tests.analytic import LABELS
from tests.models.torch import networks
from tests.models.torch.opening import quiet, saved

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@quiet
@pytest.mark.parametrize("form", ["scripted", "exported"])
def test_damaged_files_give_one_sentence(twin, form, tmp_path):
    path = saved(networks.sequential(torch, twin), form, tmp_path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for share in (0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ModelError, match=r"^net\.pt2? could not be opened: [^\n]+$"):
            load_model(path, size=networks.SIZE)
    for _ in range(15):
        spoiled = bytearray(whole)
        for place in random.integers(0, len(whole), 20):
            spoiled[place] ^= 255
        path.write_bytes(spoiled)
        sentence = ""
        try:  # some places matter to nobody
            load_model(path, size=networks.SIZE)
        except ModelError as error:
            sentence = str(error)
        assert "\n" not in sentence


@quiet
def test_what_stands_beside_the_file_counts_and_is_named_where_it_does_not_fit(twin, tmp_path):
    path = saved(networks.sequential(torch, twin), "scripted", tmp_path)
    names = "\n".join(LABELS)
    (tmp_path / "labels.txt").write_text(names, "utf-8")
    Settings(size=networks.SIZE, preprocessing="unit").write_sidecar(path)
    model = load_model(path)
    assert (model.info.labels, model.info.questions) == (LABELS, ())
    (tmp_path / "labels.txt").write_text("cat\ndog", "utf-8")
    reason = "2 class names are given for a model with 4 classes: it needs one for each"
    said = f"{reason}; labels.txt beside the model says so: correct or delete it"
    with pytest.raises(SettingError) as raised:
        model.with_settings(Settings())
    assert str(raised.value) == said
    with pytest.raises(ModelError) as raised:
        load_model(path)
    assert str(raised.value) == f"net.pt could not be opened: {said}"
    (tmp_path / "labels.txt").write_text(names, "utf-8")
    for values in ({"size": (3, 3)}, {"size": networks.SIZE, "layer": "none"}):
        Settings(**values).write_sidecar(path)
        with pytest.raises(ModelError, match=r"; net\.saliency\.json beside the model says so"):
            load_model(path)
        with pytest.raises(ModelError) as raised:
            load_model(path, **values)
        assert "saliency.json" not in str(raised.value)


def test_without_pytorch_a_sentence_names_the_extra(fresh_interpreter, tmp_path):
    code = """
import sys
sys.modules["torch"] = None
from napari_saliency import ModelError, load_model
try:
    load_model(sys.argv[1])
except ModelError as error:
    print(error)
"""
    (tmp_path / "net.pt2").touch()
    assert "pip install 'napari-saliency[torch]'" in " ".join(
        fresh_interpreter(code, str(tmp_path / "net.pt2"))
    )


def test_a_model_of_keras_is_opened_without_pytorch(fresh_interpreter):
    code = "import sys, napari_saliency as n; n.load_model('bundled:digits'); print('torch' in sys.modules)"
    assert fresh_interpreter(code)[-1] == "False"
