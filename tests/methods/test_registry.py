"""What is read off a method's signature and docstring."""

from typing import Annotated, Literal

import numpy as np
import pytest

from napari_saliency.methods import FAMILIES, METHODS, PerChannel, method, wrappable
from napari_saliency.methods import registry as methods_registry

IDS = [
    "gradient", "gradient_x_input", "guided_backprop", "deconvnet", "smoothgrad", "smoothgrad_squared", "vargrad",
    "integrated_gradients", "blur_ig", "guided_ig", "xrai", "deep_lift", "lrp", "grad_cam", "grad_cam_pp", "hires_cam",
    "layer_cam", "guided_grad_cam", "score_cam", "activations", "occlusion", "rise", "lime", "kernel_shap",
    "activation_maximization",
]  # fmt: skip


@pytest.fixture
def registry(monkeypatch):
    """An empty registry in place of the real one."""
    methods = {}
    monkeypatch.setattr(methods_registry, "_METHODS", methods)
    return methods


def register(function, title="A title", needs="gradient", cite="A paper"):
    return method(title, needs=needs, cite=cite)(function)


def wave(
    model, x, targets, *, depth: Annotated[int, {"min": 1, "max": 9}] = 3, kind: Literal["a", "b"] = "a"
):
    """Do something.

    Parameters
    ----------
    depth : int
        How deep,
        in metres.
    kind : {"a", "b"}
        Which one.

    Notes
    -----
    depth : not this text.
    """
    yield


def cut(
    model,
    x,
    targets,
    *,
    sides: Annotated[int | tuple[int, ...], {"min": 1, "max": 9}] = 3,
    fill: Annotated[
        Literal["mean", "blur"] | float | tuple[float, ...], PerChannel(), {"min": 0, "max": 255}
    ] = "mean",
    depth: Annotated[Annotated[int, {"min": 0}], {"max": 4, "tooltip": "How deep."}] = 0,
):
    """Do something else."""
    yield


def test_the_ids_are_fixed_and_so_is_the_order_in_which_they_are_shown():
    """Files and programs name them; a method that is new comes between them."""
    assert [name for name in METHODS if name in IDS] == IDS


def test_families_are_shown_one_after_the_other():
    assert list(dict.fromkeys(m.family for m in METHODS.values())) == [*FAMILIES[:-1]]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is(name):
    result = METHODS[name]
    assert result.id == name
    assert result.title
    assert result.cite
    assert result.summary.endswith(".")
    assert result.needs in ("scores", "gradient", "tap", "rescale", "epsilon")


@pytest.mark.parametrize("option", [o for m in METHODS.values() for o in m.options], ids=lambda o: o.name)
def test_every_option_has_a_tooltip_a_range_and_a_valid_default(option):
    assert option.help
    assert option.type in (int, float, bool, str)
    assert option.type in (bool, str) or option.limits
    option.check(option.default)


def test_a_method_is_registered_under_its_function_name(registry):
    assert register(wave) is wave
    assert registry["wave"].function is wave
    assert registry["wave"].title == "A title"
    assert registry["wave"].summary == "Do something."


def test_options_come_from_the_signature_and_the_docstring(registry):
    register(wave)
    depth, kind = registry["wave"].options
    assert (depth.name, depth.type, depth.default) == ("depth", int, 3)
    assert (depth.limits, depth.step, depth.advanced) == ((1, 9), None, False)
    assert depth.help == "How deep, in metres."
    assert (kind.name, kind.type, kind.default) == ("kind", str, "a")
    assert kind.choices == ("a", "b")
    assert kind.help == "Which one."


def test_several_numbers_and_words_beside_them_are_read_off_the_annotation(registry):
    register(cut)
    sides, fill, depth = registry["cut"].options
    assert (sides.type, sides.several, sides.per_channel, sides.keywords) == (int, True, False, ())
    assert (fill.type, fill.several, fill.per_channel) == (float, True, True)
    assert (fill.keywords, fill.limits) == (("mean", "blur"), (0, 255))
    assert (depth.type, depth.several, depth.help, depth.limits) == (int, False, "How deep.", (0, 4))


def test_a_key_that_nothing_reads_is_told(registry):
    def bare(model, x, targets, *, depth: Annotated[int, {"minimum": 1}] = 1):
        yield

    with pytest.raises(ValueError, match="option 'depth' has keys that nothing reads: minimum"):
        register(bare)


def test_a_family_that_is_none_is_told(registry):
    with pytest.raises(ValueError, match="family='Gradient' is not one of 'Gradients', "):
        method("A title", needs="gradient", cite="A paper", family="Gradient")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"sides": 4}, 4),
        ({"sides": (4, 5)}, (4, 5)),
        ({"sides": [4, np.int64(5)]}, (4, 5)),
        ({"sides": [4]}, (4,)),
        ({"fill": "blur"}, "blur"),
        ({"fill": 12}, 12.0),
        ({"fill": [0, np.float32(0.5), 255]}, (0.0, 0.5, 255.0)),
    ],
)
def test_several_numbers_are_taken_as_a_tuple(registry, given, taken):
    register(cut)
    (name,) = given
    result = registry["cut"].complete(given)[name]
    assert result == taken
    numbers = result if isinstance(result, tuple) else (result,)
    assert {type(number) for number in numbers} <= {int if name == "sides" else float, str}
    hash(result)


@pytest.mark.parametrize(("shows", "names"), [("map", ("wave",)), ("stack", ()), ("picture", ())])
def test_what_shows_no_map_cannot_be_wrapped(registry, monkeypatch, shows, names):
    monkeypatch.setattr(methods_registry, "METHODS", registry)
    method("A title", needs="tap", cite="A paper", shows=shows)(wave)
    assert registry["wave"].shows == shows
    assert wrappable() == names


def test_an_id_is_taken_once(registry):
    register(wave)
    with pytest.raises(ValueError, match="'wave' is registered already"):
        register(wave)


def test_an_option_needs_a_default(registry):
    def bare(model, x, targets, *, depth: int):
        yield

    with pytest.raises(ValueError, match="option 'depth' of 'bare' needs a default"):
        register(bare)
    assert not registry


def test_methods_cannot_be_changed_through_the_public_mapping():
    with pytest.raises(TypeError):
        METHODS["wave"] = None


def test_options_that_are_not_given_have_their_defaults(registry):
    register(wave)
    assert registry["wave"].complete({"kind": "b"}) == {"depth": 3, "kind": "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 3}, "wave has no option 'width'; it has depth, kind"),
        ({"depth": 0}, "depth=0 must lie between 1 and 9"),
        ({"depth": 10}, "depth=10 must lie between 1 and 9"),
        ({"depth": 2.5}, "depth=2.5 must be of type int"),
        ({"depth": "3"}, "depth='3' must be of type int"),
        ({"depth": True}, "depth=True must be of type int"),
        ({"kind": "c"}, "kind='c' is not one of 'a', 'b'"),
    ],
)
def test_wrong_options_are_told(registry, options, message):
    register(wave)
    with pytest.raises(ValueError, match=message):
        registry["wave"].complete(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sides": (4, 10)}, r"sides=\(4, 10\) must lie between 1 and 9"),
        ({"sides": (4, 1.5)}, r"sides=\(4, 1.5\) must be of type int, or several of it"),
        ({"sides": (4, True)}, r"sides=\(4, True\) must be of type int, or several of it"),
        ({"sides": ((1, 2), 3)}, r"sides=\(\(1, 2\), 3\) must be of type int"),
        ({"sides": ()}, r"sides=\(\) holds no number"),
        ({"sides": "4"}, "sides='4' must be of type int"),
        ({"sides": None}, "sides=None must be of type int"),
        ({"fill": "red"}, "fill='red' is not one of 'mean', 'blur', nor a number"),
        ({"fill": ("mean", 3)}, r"fill=\('mean', 3\) must be of type float"),
        ({"fill": 256}, "fill=256 must lie between 0 and 255"),
        ({"fill": (1, float("nan"))}, r"fill=\(1, nan\) must lie between 0 and 255"),
        ({"depth": (1, 2)}, r"depth=\(1, 2\) must be of type int$"),
    ],
)
def test_wrong_numbers_among_several_are_told(registry, options, message):
    register(cut)
    with pytest.raises(ValueError, match=message):
        registry["cut"].complete(options)


@pytest.mark.parametrize("value", [np.int64(4), np.int32(4)])
def test_whole_numbers_of_numpy_are_whole_numbers(registry, value):
    register(wave)
    assert registry["wave"].complete({"depth": value})["depth"] == 4


def test_not_a_number_lies_in_no_range():
    with pytest.raises(ValueError, match="noise=nan must lie between"):
        METHODS["smoothgrad"].complete({"noise": float("nan")})


def test_a_whole_number_is_good_for_a_float():
    assert METHODS["smoothgrad"].complete({"noise": 0})["noise"] == 0


TOY = """
from napari_saliency.core.types import Estimate
from napari_saliency.methods import method

@method("Toy", family="Gradients", needs="gradient", cite="nobody", linear=True)
def toy(model, x, targets, *, power: int = 1):
    '''Raise the gradient to a power.

    Notes
    -----
    .. math:: M = g^n

    **When to use:** in this test.

    **When not to use:** anywhere else.
    '''
    yield Estimate(model.gradient(x, targets)[1] ** power, 1, 1)
"""
FIND = """
import sys
from importlib.util import find_spec, module_from_spec
spec = find_spec("napari_saliency.methods")
package = sys.modules[spec.name] = module_from_spec(spec)
package.__path__.append(sys.argv[1])  # as if the file lay in the package's own folder
spec.loader.exec_module(package)
import napari_saliency
print(list(napari_saliency.METHODS).index("toy"), "toy" in package.wrappable())
[toy] = [each for each in package.describe_methods() if each.id == "toy"]
print(toy.family, toy.title, toy.options[0].name, toy.use.replace(" ", "_"), toy.formula.replace(" ", ""))
"""


def test_a_new_method_is_its_module_and_nothing_else(fresh_interpreter, tmp_path):
    """It is found, stands with its family, may be wrapped, and is in the data that tables are made from."""
    (tmp_path / "toy.py").write_text(TOY)
    words = fresh_interpreter(FIND, str(tmp_path))
    assert words == ["4", "True", "Gradients", "Toy", "power", "in_this_test.", "M=g^n"]
