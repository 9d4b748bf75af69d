"""The one prober, on a numpy network that counts its runs."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings
from napari_saliency.models.describe import Facts
from napari_saliency.models.probe import Declared, Evidence, Place, find_place, find_shape, parts, probe
from napari_saliency.models.settings import SettingError


@dataclass
class Network:
    """Means of colours through a function, for pictures that ``takes`` likes."""

    declared: Declared = field(default_factory=lambda: Declared((None, None)))
    end: object = lambda z: z
    takes: object = lambda shape: True
    activation: object = None
    trained: object = None
    has_space: bool = False
    shapes: list = field(default_factory=list)

    def run(self, x):
        self.shapes.append(x.shape)
        if not self.takes(x.shape):
            raise ModelError(f"not {x.shape}")
        means = x.astype(np.float64) if self.has_space else x.astype(np.float64).mean((1, 2))
        return self.end(means).astype(np.float32)

    def examine(self, x, *, quantity):
        outputs = self.run(x)
        facts = Facts(n_outputs=outputs.shape[-1], space=outputs.shape[1:-1])
        seen = None if quantity else self.activation
        return Evidence(self, facts, seen, outputs=outputs, zeroed=("words",), trained=self.trained)


def softmax(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def probed(network, **settings):
    settings = Settings(**settings)
    return probe(*find_place([network], settings), settings, "print")


def test_the_first_usual_size_that_works_is_a_guess():
    result = probed(Network(takes=lambda shape: shape[1:3] == (28, 28)))
    assert (result.facts.shape, result.facts.known) == ((28, 28, 3), False)
    assert (result.facts.n_outputs, result.facts.raw, result.facts.activation) == (3, True, "softmax")
    assert (result.facts.fingerprint, result.batch) == ("print", None)
    assert "words" in "".join(result.facts.notes)


def test_a_size_of_its_own_is_known_and_runs_nothing():
    network = Network(Declared((8, 9), 1, example=(8, 9, 1)))
    assert find_place([network], Settings()) == (network, Place((8, 9, 1), (8, 9, 1), known=True))
    assert network.shapes == []


def test_a_free_size_is_found_with_what_it_must_be_a_multiple_of():
    network = Network(
        Declared((None, None), is_free=True, channels=1), takes=lambda s: s[1] % 4 == s[2] % 4 == 0
    )
    facts = probed(network).facts
    assert (facts.shape, facts.multiple) == ((None, None, 1), 4)


@pytest.mark.parametrize(
    ("end", "activation"),
    [(softmax, "softmax"), (lambda z: 1 / (1 + np.exp(-z)), "sigmoid"), (lambda z: z, None)],
)
def test_what_makes_probabilities_is_found_by_running_it(end, activation):
    facts = probed(Network(Declared((4, 4), example=(4, 4, 3)), end)).facts
    assert (facts.implicit, facts.raw) == (activation, activation is None)


def test_what_was_seen_or_said_is_not_looked_for():
    declared = Declared((4, 4), example=(4, 4, 3))
    seen, said = Network(declared, softmax, activation="softmax"), Network(declared, softmax)
    assert probed(seen).facts.implicit is None
    facts = probed(said, task="regression").facts
    assert (facts.activation, facts.implicit, facts.raw) == ("quantity", None, True)
    # One pass, and two that show that it is always the same.
    assert [shape[0] for shape in seen.shapes] == [shape[0] for shape in said.shapes] == [2, 1, 1]


@pytest.mark.parametrize(
    ("end", "settings", "activation"),
    [
        (lambda z: z, {}, "quantity"),
        (lambda z: z, {"task": "classification"}, "softmax"),
        (softmax, {}, "softmax"),  # what it shows goes first
    ],
)
def test_what_it_was_trained_as_counts_where_nothing_else_tells(end, settings, activation):
    network = Network(Declared((4, 4), example=(4, 4, 3)), end, trained="regression")
    assert probed(network, **settings).facts.activation == activation


def test_one_picture_at_once_is_found_where_several_fail():
    network = Network(Declared((4, 4), example=(4, 4, 3)), takes=lambda shape: shape[0] == 1)
    assert probed(network).batch == 1


def test_a_batch_of_its_own_is_filled():
    network = Network(
        Declared((4, 4), example=(4, 4, 3), batch=5), softmax, takes=lambda shape: shape[0] == 5
    )
    assert probed(network).batch == 5
    assert {shape[0] for shape in network.shapes} == {5}


def test_a_network_that_answers_by_chance_is_refused():
    random = np.random.default_rng(0)
    network = Network(Declared((4, 4), example=(4, 4, 3)), lambda z: z + random.normal(size=z.shape))
    with pytest.raises(ModelError, match=r"saved in training mode; call model\.eval\(\)"):
        probed(network)


def test_a_network_whose_answer_depends_on_its_company_is_refused():
    network = Network(Declared((4, 4), example=(4, 4, 3)), lambda z: z - z.mean(0))
    with pytest.raises(ModelError, match="alone or among 2"):
        probed(network)


def test_places_of_a_free_picture_are_free():
    network = Network(Declared((None, None), is_free=True), has_space=True)
    assert probed(network).facts.space == (None, None)


def test_of_several_ways_the_first_that_works_is_taken():
    first, second = Network(takes=lambda shape: False), Network(takes=lambda shape: shape[1] == 32)
    network, place = find_place([first, second], Settings())
    assert network is second
    assert place.shape == (32, 32, 3)
    with pytest.raises(ModelError, match=r"not \(1, 224, 224, 3\)"):
        find_place([first, Network(takes=lambda shape: False)], Settings())


def test_an_output_that_is_not_there_needs_no_other_way():
    def end(z):
        raise SettingError("output", "there is none")

    first, second = Network(end=end), Network()
    with pytest.raises(SettingError, match="there is none"):
        find_place([first, second], Settings(size=(4, 4)))
    assert second.shapes == []


def test_a_side_that_is_said_makes_a_square_of_the_other():
    network = Network(Declared((6, None), 1))
    assert find_place([network], Settings())[1].shape == (6, 6, 1)


def test_parts_are_filled_up():
    rows = np.arange(5, dtype=np.float32)
    assert [(part.tolist(), count) for part, count in parts(rows, 3)] == [([0, 1, 2], 3), ([3, 4, 3], 2)]
    assert [count for _, count in parts(rows, None)] == [5]


@pytest.mark.parametrize(
    ("settings", "kind", "field"),
    [
        ({}, ModelError, None),
        ({"size": (9, 9)}, SettingError, "size"),
        ({"channels": 1}, SettingError, "channels"),
    ],
)
def test_whose_fault_it_is_that_no_size_fits(settings, kind, field):
    def run(x):
        raise ModelError(f"not {x.shape}")

    with pytest.raises(kind) as raised:
        find_shape(run, Settings(**settings), None)
    assert type(raised.value) is kind
    assert getattr(raised.value, "field", None) == field


def test_the_first_size_that_works_is_taken():
    def run(x):
        if x.shape[1:3] != (32, 32):
            raise ModelError("no")
        return np.zeros((1, 2), np.float32)

    assert find_shape(run, Settings(), 1) == (32, 32, 1)
