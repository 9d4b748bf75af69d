"""PyTorch networks stay as they are: in inference mode, their weights shared, in many threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.models import Settings, load_model
from tests.analytic import LABELS, pictures, targets_of
from tests.few import EVERYWHERE
from tests.models.comparing import (
    FEW,
    RULES,
    answer,
    assert_same_answers,
    assert_same_map,
)
from tests.models.torch import networks
from tests.models.torch.opening import FORMS, opened, quiet

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def primitives(model, x, targets):
    """All that methods ask for, each a function of which pictures of a batch are asked about."""

    def of(part):
        return x[part], Targets(targets.weights[part])

    layer = model.info.cam_layer
    yield lambda part: model.scores(x[part])
    for rule in (None, *RULES):
        yield lambda part, rule=rule: model.gradient(*of(part), rule)[1]
    for array in (0, 1):
        yield lambda part, array=array: model.tap(*of(part), layer)[array]


def in_inference(net, x):
    before = net.training
    with torch.no_grad():
        outputs = net.eval()(torch.tensor(x).permute(0, 3, 1, 2)).numpy()
    net.train(before)
    return outputs


def test_pitfall_train_mode_left_on(training, twin):
    x = pictures(twin, 3)
    wanted = in_inference(training, x)
    before = {name: value.clone() for name, value in training.state_dict().items()}
    model = opened(training)
    np.testing.assert_allclose(model.scores(x), wanted, atol=1e-6)
    for ask in primitives(model, x, targets_of(0, 1, 2)):
        np.testing.assert_array_equal(ask(slice(None)), ask(slice(None)))
    assert training.training
    assert all(p.requires_grad and p.grad is None for p in training.parameters())
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())


def test_weights_are_not_copied(training):
    model = opened(training)
    mine = dict(model._network.module.named_parameters())
    assert all(p.data_ptr() == mine[name].data_ptr() for name, p in training.named_parameters())


@quiet
def test_pitfall_train_mode_left_on_in_an_exported_graph(training, twin, tmp_path):
    x = pictures(twin, 3)
    wanted = in_inference(training, x)
    example = torch.zeros(4, 3, *networks.SIZE)
    program = torch.export.export(training.train(), (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "net.pt2")
    np.testing.assert_allclose(load_model(tmp_path / "net.pt2").scores(x), wanted, atol=1e-6)


@quiet
def test_pitfall_train_mode_left_on_in_a_scripted_network(training, twin, tmp_path):
    x = pictures(twin, 3)
    torch.jit.save(torch.jit.script(training.train()), tmp_path / "net.pt")
    model = load_model(tmp_path / "net.pt", size=networks.SIZE)
    np.testing.assert_allclose(model.scores(x), in_inference(training, x), atol=1e-6)


@quiet
def test_pitfall_train_mode_left_on_in_a_traced_network(training, tmp_path):
    traced = torch.jit.trace(training, torch.zeros(4, 3, *networks.SIZE), check_trace=False)
    torch.jit.save(traced, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"saved in training mode; call model\.eval\(\) before"):
        load_model(tmp_path / "net.pt", size=networks.SIZE)


@quiet
def test_a_graph_exported_for_one_picture_takes_many(twin, tmp_path):
    net = networks.sequential(torch, twin).eval()
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, *networks.SIZE),)), tmp_path / "net.pt2")
    model = load_model(tmp_path / "net.pt2")
    assert_same_answers(model, twin, rules=[None, "guided"])
    x, targets = pictures(twin, 3), targets_of(0, 1, 2)
    assert_same_map(model.tap(x, targets, "2/relu").gradients, twin.tap(x, targets, "rectified").gradients)


def test_a_batch_gives_what_its_pictures_give_alone(training, twin):
    model, x, targets = opened(training), pictures(twin, 5), targets_of(0, 1, 2, 3, 0)
    for ask in primitives(model, x, targets):
        alone = [ask(slice(n, n + 1)) for n in range(5)]
        assert_same_map(ask(slice(None)), np.concatenate(alone), 1e-5)


def test_half_precision_gives_maps_in_single(twin):
    model = opened(networks.sequential(torch, twin).to(torch.bfloat16))
    x, targets = pictures(twin, 2), targets_of(0, 1)
    assert_same_map(model.gradient(x, targets)[1], twin.gradient(x, targets)[1], 0.05)


@quiet
@pytest.mark.parametrize("kind", ["half", "double"])
def test_an_exported_graph_of_another_precision_opens(twin, kind, tmp_path):
    net = getattr(networks.sequential(torch, twin).eval(), kind)()
    example = torch.zeros(2, 3, *networks.SIZE, dtype=next(net.parameters()).dtype)
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "net.pt2")
    model = load_model(tmp_path / "net.pt2")
    x = pictures(twin, 2)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), rtol=2e-2, atol=2e-2)
    targets = targets_of(0, 1)
    for result, wanted in zip(model.gradient(x, targets), twin.gradient(x, targets), strict=True):
        assert result.dtype == np.float32
        assert_same_map(result, wanted, share=3e-2)


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_two_threads_corrupt_each_others_maps(forms, twin, hurried, form):
    """Another rule, another class, another picture and another layer at the same time."""
    model = forms[form].with_settings(Settings(preprocessing="none", size=networks.SIZE))
    x = pictures(twin, 4)
    names = [name for name in EVERYWHERE if name not in FEW]
    jobs = [(name, n, (n + shift) % len(LABELS)) for shift in range(4) for n in range(4) for name in names]
    wanted = {(name, n, i): answer(name, twin, x[n : n + 1], targets_of(i)) for name, n, i in jobs}

    def run(job):
        name, n, index = job
        return job, answer(name, model, x[n : n + 1], targets_of(index))

    with ThreadPoolExecutor(8) as pool:
        for job, values in pool.map(run, jobs * 2):
            # Of a single picture and class a map may be empty: all of a method's tell what is large.
            largest = max(np.abs(values).max() for (name, *_), values in wanted.items() if name == job[0])
            np.testing.assert_allclose(values, wanted[job], rtol=0, atol=1e-4 * largest)
