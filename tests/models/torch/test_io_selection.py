"""PyTorch networks with several inputs or outputs: which are meant, in modules, TorchScript and exported graphs."""

from collections import namedtuple

import numpy as np
import pytest

from napari_saliency import explain, load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from napari_saliency.models.settings import SettingError
from napari_saliency.models.sources import Source

pytestmark = [
    pytest.mark.framework,
    # What PyTorch says of itself when it saves TorchScript and graphs.
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning",
        "ignore:Converting a tensor to a Python", "ignore:.*trace",
    ),
]  # fmt: skip

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn
SIZE = (8, 10)
FORMS = ("module", "scripted", "traced", "exported")
Ends = namedtuple("Ends", ["mask", "kind", "ill"])


def opened(net, **settings):
    from napari_saliency.models.torch.adapter import open_module

    settings = Settings(**{"preprocessing": "none", "size": SIZE} | settings)
    return open_module(net.eval(), Source("python", "net"), settings)


def in_form(net, form, folder, examples, **settings):
    """Open a network after it was saved in a form."""
    if form == "module":
        return opened(net, **settings)
    net, path = net.eval(), folder / ("net.pt2" if form == "exported" else "net.pt")
    if form == "exported":
        count = torch.export.Dim("n")
        shapes = tuple({0: count} for _ in examples)
        torch.export.save(torch.export.export(net, examples, dynamic_shapes=shapes), path)
    else:
        script = torch.jit.script(net)
        if form == "traced":
            script = torch.jit.trace(net, examples, strict=False)
        torch.jit.save(script, path)
    return load_model(path, **{"preprocessing": "none", "size": SIZE} | settings)


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(0, 1, (2, *SIZE, 3)).astype(np.float32)


def first(x):
    """As PyTorch has it, ready for derivatives."""
    return torch.tensor(np.moveaxis(x, -1, 1)).requires_grad_()


def by_autograd(z, x, index):
    (gradient,) = torch.autograd.grad(z[:, index].sum(), x)
    return np.moveaxis(gradient.numpy(), 1, -1)


# Outputs -----------------------------------------------------------------------------------------


class Heads(nn.Module):
    """A mask, kinds in probabilities, and whether it is ill; `pack` says in what they are returned."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.top, self.side = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5, 4), nn.Linear(5, 1)

    def logits(self, x: torch.Tensor):
        mask = torch.relu(self.conv(x))
        mean = mask.mean((2, 3))
        return mask, self.top(mean), self.side(mean)


class InTuple(Heads):
    def forward(self, x: torch.Tensor):
        mask, kind, ill = self.logits(x)
        return mask, kind.softmax(1), torch.sigmoid(ill)


class InDict(Heads):
    def forward(self, x: torch.Tensor):
        mask, kind, ill = self.logits(x)
        return {"mask": mask, "kind": kind.softmax(1), "ill": torch.sigmoid(ill)}


class InList(Heads):
    def forward(self, x: torch.Tensor):
        mask, kind, ill = self.logits(x)
        return [mask, kind.softmax(1), torch.sigmoid(ill)]


class InNames(Heads):
    def forward(self, x: torch.Tensor):
        mask, kind, ill = self.logits(x)
        return Ends(mask, kind.softmax(1), torch.sigmoid(ill))


KINDS = {InTuple: None, InDict: Ends._fields, InList: None, InNames: Ends._fields}
NUMBERED = ("output 0", "output 1", "output 2")


# An exported graph returns no named tuples whose class nobody registered.
@pytest.mark.parametrize(
    ("kind", "form"), [(k, f) for k in KINDS for f in FORMS if (k, f) != (InNames, "exported")]
)
def test_of_several_outputs_the_first_of_classes_is_taken_and_the_user_asked(kind, form, tmp_path, x):
    net = kind()
    model = in_form(net, form, tmp_path, (first(x).detach(),))
    # A trace keeps a named tuple as a plain one.
    mask, classes, ill = (KINDS[kind] if (kind, form) != (InNames, "traced") else None) or NUMBERED
    assert model.info.outputs == (classes, mask, ill)
    assert "output" in model.info.questions
    assert f"This is the output {classes}; there is also {mask}, {ill}." in model.info.notes
    assert (model.info.activation, model.info.logits) == ("softmax", True)
    given = first(x)
    z = net.logits(given)[1]
    np.testing.assert_allclose(model.scores(x), z.detach(), atol=1e-5)
    expected = by_autograd(z, given, 2)
    result = model.gradient(x, Targets(np.eye(4, dtype=np.float32)[[2, 2]]))[1]
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("form", FORMS)
def test_an_output_by_name(form, tmp_path, x):
    net = InDict()
    model = in_form(net, form, tmp_path, (first(x).detach(),), output="ill")
    assert model.info.outputs == ("ill", "mask", "kind")
    assert "output" not in model.info.questions
    assert (model.info.activation, len(model.info.labels)) == ("sigmoid", 2)
    given = first(x)
    z = net.logits(given)[2]
    np.testing.assert_allclose(model.scores(x)[:, 1:], z.detach(), atol=1e-5)
    result = model.gradient(x, Targets(np.eye(2, dtype=np.float32)[[1, 1]]), "guided")[1]
    assert result.any()
    expected = by_autograd(z, given, 0)
    result = model.gradient(x, Targets(np.eye(2, dtype=np.float32)[[1, 1]]))[1]
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
    other = model.with_settings(Settings(output="mask", size=SIZE, preprocessing="none"))
    assert (other.info.space, len(other.info.labels)) == (SIZE, 5)
    region = np.arange(80).reshape(SIZE) % 3 == 0
    mask = net.logits(given)[0][0, 3]
    (wanted,) = torch.autograd.grad(mask[torch.tensor(region)].mean(), given)
    result = explain(other, x[0], 3, region=region).values
    np.testing.assert_allclose(result, np.moveaxis(wanted[0].numpy(), 0, -1), atol=1e-6)
    assert model.info.outputs[0] == "ill"


def test_scores_that_were_kept_are_not_those_of_another_output(x):
    model = opened(InTuple(), output="output 1")
    *_, before = METHODS["occlusion"].function(model, x, Targets(np.eye(4, dtype=np.float32)[:2]))
    other = model.with_settings(Settings(output="output 2", size=SIZE, preprocessing="none"))
    targets = Targets(np.eye(2, dtype=np.float32))
    *_, result = METHODS["occlusion"].function(other, x, targets)
    fresh = opened(InTuple(), output="output 2")
    *_, wanted = METHODS["occlusion"].function(fresh, x, targets)
    np.testing.assert_array_equal(result.values, wanted.values)
    assert np.abs(result.values - before.values).max() > 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_an_output_that_does_not_exist_is_told(form, tmp_path, x):
    with pytest.raises(ModelError, match="no output 'kinds'; it has mask, kind, ill"):
        in_form(InDict(), form, tmp_path, (first(x).detach(),), output="kinds")
    model = in_form(InDict(), form, tmp_path, (first(x).detach(),))
    with pytest.raises(SettingError, match="no output 'kinds'; it has mask, kind, ill") as said:
        model.with_settings(Settings(output="kinds"))
    assert said.value.field == "output"


class Returning(nn.Module):
    def __init__(self, pack):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.pack = nn.Conv2d(3, 4, 3, padding=1), pack

    def forward(self, x):
        return self.pack(self.conv(x))


def mean(z):
    return z.mean((2, 3))


@pytest.mark.parametrize(
    ("pack", "outputs"),
    [
        (lambda z: {"aux": mean(z), "out": z}, ("out", "aux")),
        (lambda z: {"hidden": [mean(z), z], "logits": mean(z)}, ("logits", "hidden 0", "hidden 1")),
        (lambda z: {"a": {"b": mean(z), "c": mean(z)}}, ("a.b", "a.c")),
        (lambda z: (z, [z, mean(z)]), ("output 1 1", "output 0", "output 1 0")),
        (lambda z: (mean(z).argmax(1), z, z * 2), ("output 1", "output 2")),
        (lambda z: (mean(z), z.flatten(2)), ()),  # sequences are not offered
        (lambda z: [mean(z)], ()),
        (lambda z: (mean(z), None, "text", mean(z).argmax(1)), ()),
    ],
)
def test_names_of_outputs_in_each_other(pack, outputs):
    assert opened(Returning(pack)).info.outputs == outputs


@pytest.mark.parametrize("pack", [lambda z: [{"boxes": z}], lambda z: (None, 3), lambda z: {}])
def test_what_returns_nothing_that_can_be_explained_is_told(pack):
    with pytest.raises(ModelError, match="is neither a classifier's"):
        opened(Returning(pack))


def test_an_output_may_be_chosen_of_a_network_of_any_size():
    model = opened(Returning(lambda z: (mean(z), z)), size=None, output="output 1")
    assert (model.info.input.description, model.info.space) == ("any size RGB", (None, None))
    assert model.with_settings(Settings(output="output 0")).info.space == ()


# Inputs ------------------------------------------------------------------------------------------


class WithFacts(nn.Module):
    """A photo and five facts."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.top, self.side = nn.Conv2d(3, 5, 3), nn.Linear(5, 4), nn.Linear(6, 4)

    def forward(self, photo: torch.Tensor, facts: torch.Tensor):
        mean = torch.relu(self.conv(photo)).mean((2, 3))
        return (self.top(mean) + self.side(torch.cos(facts))).softmax(1)


class Pair(nn.Module):
    """Two photos, which do not count alike."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, left: torch.Tensor, right: torch.Tensor):
        return (self.one(left) * torch.sigmoid(self.two(right))).mean((2, 3))


@pytest.mark.parametrize("form", FORMS)
def test_other_inputs_are_zeros(form, tmp_path, x):
    net = WithFacts()
    model = in_form(net, form, tmp_path, (first(x).detach(), torch.ones(2, 6)))
    assert (model.info.inputs, "input" in model.info.questions) == ((), False)  # the other is no picture's
    assert "The picture goes into one input; zeros go into facts." in model.info.notes
    given = first(x)
    p = net(given, torch.zeros(2, 6))
    np.testing.assert_allclose([each.probabilities for each in model.predict(x)], p.detach(), atol=1e-6)
    expected = by_autograd(p, given, 1)
    result = model.gradient(x, Targets(np.eye(4, dtype=np.float32)[[1, 1]], "probability"))[1]
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("form", FORMS)
def test_of_two_pictures_the_user_says_which(form, tmp_path, x):
    net, given = Pair(), first(x)
    model = in_form(net, form, tmp_path, (given.detach(), given.detach()))
    assert (model.info.inputs, "input" in model.info.questions) == (("left", "right"), True)
    nothing = torch.zeros_like(given)
    np.testing.assert_allclose(model.scores(x), net(given, nothing).detach(), atol=1e-6)
    right = model.with_settings(Settings(input="right", size=SIZE, preprocessing="none"))
    assert (right.info.inputs, "input" in right.info.questions) == (("right", "left"), False)
    z = net(nothing, given)
    np.testing.assert_allclose(right.scores(x), z.detach(), atol=1e-6)
    expected = by_autograd(z, given, 1)
    result = right.gradient(x, Targets(np.eye(4, dtype=np.float32)[[1, 1]]))[1]
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(SettingError, match="no input 'middle'; it has left, right"):
        model.with_settings(Settings(input="middle"))


def test_zeros_of_another_pictures_size_grow_with_it(tmp_path):
    """Of free sizes that are the same in both, as the graph itself says."""
    size = {0: torch.export.Dim("n"), 2: torch.export.Dim("h"), 3: torch.export.Dim("w")}
    example, net = torch.zeros(2, 3, 32, 48), Pair().eval()
    program = torch.export.export(net, (example, example.clone()), dynamic_shapes=(size, size))
    torch.export.save(program, tmp_path / "net.pt2")
    for model in (load_model(tmp_path / "net.pt2", preprocessing="none"), opened(net, size=None)):
        assert model.info.input.description == "any size RGB"
        x = np.random.default_rng(0).uniform(0, 1, (3, 21, 34, 3)).astype(np.float32)
        wanted = net(first(x), torch.zeros(3, 3, 21, 34)).detach()
        np.testing.assert_allclose(model.scores(x), wanted, atol=1e-6)


def test_a_mask_of_one_channel_is_found():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)

        def forward(self, photo, mask):
            return (self.one(photo) + self.two(mask)).mean((2, 3))

    info = opened(Masked()).info
    assert info.inputs == ("photo", "mask")
    assert info.input.channels == 3


def test_inputs_with_a_default_do_not_count(x):
    class Net(Returning):
        def forward(self, x, scale=2.0, *, shift=None):
            return mean(self.conv(x)) * scale

    net = Net(None)
    model = opened(net)
    assert (model.info.inputs, "zeros" in " ".join(model.info.notes)) == ((), False)
    np.testing.assert_allclose(model.scores(x), net(first(x)).detach(), atol=1e-6)


def test_exported_inputs_may_be_named_constant_or_in_each_other(tmp_path, x):
    class Net(Returning):
        def forward(self, batch, factor, *, more):
            return mean(self.conv(batch["photo"])) * factor + more[0]

    net, count = Net(None).eval(), torch.export.Dim("n")
    given, more = first(x).detach(), [torch.ones(1)]
    program = torch.export.export(
        net, ({"photo": given}, 3), {"more": more},
        dynamic_shapes={"batch": {"photo": {0: count}}, "factor": None, "more": [{0: None}]},
    )  # fmt: skip
    torch.export.save(program, tmp_path / "net.pt2")
    model = load_model(tmp_path / "net.pt2", preprocessing="none")
    np.testing.assert_allclose(model.scores(x), 3 * mean(net.conv(given)).detach(), atol=1e-5)


@pytest.mark.parametrize("form", ["module", "scripted"])
def test_what_cannot_be_filled_is_told_in_a_sentence(form, tmp_path):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, photo: torch.Tensor, description: torch.Tensor):
            return self.conv(photo).mean((2, 3)) + description.reshape(-1, 7, 4).mean(1)

    with pytest.raises(ModelError) as raised:
        in_form(Words(), form, tmp_path, ())
    said = str(raised.value)
    assert (
        "it takes photo, description, and does not say how many zeros belong into all but the picture" in said
    )
    assert said.endswith("save it with torch.export.save, which writes that down")
    assert "\n" not in said
