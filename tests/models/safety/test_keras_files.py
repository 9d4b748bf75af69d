"""Damaged files: each gives one sentence, soon, and never another model than the one that was saved."""

import io
import resource
import shutil
import time
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import load_model

pytestmark = [
    pytest.mark.framework,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

SECONDS, BYTES = 10, 600_000_000


@pytest.fixture(scope="module")
def folder(keras, tmp_path_factory):
    """A small network in each format."""
    folder = tmp_path_factory.mktemp("whole")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for suffix in ("keras", "h5"):
            network.save(folder / f"net.{suffix}")
    load_model(folder / "net.keras")  # what is loaded once is not part of what opening takes
    return folder


@pytest.fixture
def x():
    return np.random.default_rng(0).random((1, 8, 8, 3), np.float32)


def assert_refused(path):
    """One sentence, in time, without filling the memory."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.process_time()
    with pytest.raises(ModelError) as raised:
        load_model(path)
    assert time.process_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < BYTES
    text = str(raised.value)
    assert "\n" not in text
    assert len(text) < 400
    assert path.name[:30] in text
    return text


def flipped(path, at, mask=0x10):
    content = bytearray(path.read_bytes())
    content[at] ^= mask
    path.write_bytes(content)
    return path


def spans(path):
    """Where the content of each member of an archive lies."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            file.seek(member.header_offset + 26)
            name, extra = np.frombuffer(file.read(4), "<u2")
            start = member.header_offset + 30 + int(name) + int(extra)
            yield member.filename, start, member.compress_size


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_flip_anywhere_in_a_keras_file_is_found(folder, tmp_path, member, share):
    path = Path(shutil.copy(folder / "net.keras", tmp_path))
    start, size = next((start, size) for name, start, size in spans(path) if name == member)
    assert_refused(flipped(path, start + int(share * size)))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.999])
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_a_part_of_a_file(folder, tmp_path, name, share):
    content = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    assert_refused(tmp_path / name)


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize("content", [b"", b"a text", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", bytes(10000)])
def test_something_else(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path / name)


@pytest.mark.parametrize(("name", "other"), [("net.keras", "net.h5"), ("net.h5", "net.keras")])
def test_a_wrong_suffix(folder, tmp_path, name, other):
    assert "not a valid" in assert_refused(Path(shutil.copy(folder / name, tmp_path / other)))


def test_flips_in_an_hdf5_file_are_found_or_change_but_a_number(folder, tmp_path, x):
    """It has no checksums: a flipped weight that is still a number cannot be told from one that was meant."""
    size, texts = (folder / "net.h5").stat().st_size, []
    for at in np.random.default_rng(0).integers(0, size, 40):
        path = flipped(Path(shutil.copy(folder / "net.h5", tmp_path)), int(at))
        texts.append(said_of(path, x))
    assert any(texts)
    assert all("\n" not in text and len(text) < 400 for text in texts)


def said_of(path, x):
    """What is said of a file that does not open, "" of one that does."""
    try:
        assert load_model(path).scores(x).shape == (1, 3)
    except ModelError as error:
        return str(error)
    return ""


def test_a_weight_that_is_no_number_is_found(folder, tmp_path):
    path = Path(shutil.copy(folder / "net.h5", tmp_path))
    with h5py.File(path, "r+") as file:
        arrays = []
        file.visititems(lambda _, item: arrays.append(item) if getattr(item, "ndim", 0) == 4 else None)
        arrays[0][0, 0, 0, 0] = np.nan
    assert "are not finite" in assert_refused(path)


# Files that are made to do harm ------------------------------------------------------------------


def with_member(folder, tmp_path, name, content, method=zipfile.ZIP_DEFLATED):
    path = Path(shutil.copy(folder / "net.keras", tmp_path))
    with zipfile.ZipFile(path, "a", method) as archive, archive.open(name, "w", force_zip64=True) as member:
        for part in content:
            member.write(part)
    return path


@pytest.mark.parametrize(
    "name", ["../out.txt", "/out.txt", "assets/../../out.txt", "..\\out.txt", "C:/out.txt"]
)
def test_members_that_would_leave_their_folder(folder, tmp_path, name):
    path = with_member(folder, tmp_path, name, [b"x"])
    assert "would leave its folder: nothing of it was read" in assert_refused(path)
    assert not list(tmp_path.parent.rglob("out.txt"))


def test_a_member_that_grows_a_thousandfold(folder, tmp_path):
    path = with_member(folder, tmp_path, "assets/zeros", [bytes(1 << 24)] * 40)
    assert path.stat().st_size < 2_000_000
    assert "claims 0.7 GB: nothing of it was read" in assert_refused(path)


def test_a_member_that_claims_more_than_it_holds(folder, tmp_path):
    path = Path(shutil.copy(folder / "net.keras", tmp_path))
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    content = content[: at + 20] + (4_000_000_000).to_bytes(4, "little") * 2 + content[at + 28 :]
    path.write_bytes(content)
    assert "nothing of it was read" in assert_refused(path)


def test_a_configuration_of_gigabytes(folder, tmp_path):
    path = tmp_path / "net.keras"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("config.json", "w") as member,
    ):
        for _ in range(10):
            member.write(b" " * (1 << 24))
    assert "nothing of it was read" in assert_refused(path)


NO_CONFIGURATIONS = (
    "[" * 100_000,
    "{}",
    "null",
    "[]",
    '{"class_name": 3}',
    '{"class_name": "Model"}',
    "1e999",
)


def with_config(folder, tmp_path, change):
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(folder / "net.keras") as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            content = whole.read(name)
            archive.writestr(name, change(content.decode()) if name == "config.json" else content)
    return path


@pytest.mark.parametrize("text", NO_CONFIGURATIONS, ids=range(len(NO_CONFIGURATIONS)))
def test_configurations_that_are_none(folder, tmp_path, text):
    assert_refused(with_config(folder, tmp_path, lambda _: text))


def test_weights_that_claim_terabytes(folder, tmp_path):
    path = Path(shutil.copy(folder / "net.h5", tmp_path))
    with h5py.File(path, "r+") as file:
        file.create_dataset("huge", (1 << 20, 1 << 20), "float32", chunks=(64, 64))
    assert "its weights claim 4398.0 GB" in assert_refused(path)


def test_weights_within_an_archive_that_claim_terabytes(folder, tmp_path):
    inner, path = io.BytesIO(), tmp_path / "net.keras"
    with zipfile.ZipFile(folder / "net.keras") as whole, zipfile.ZipFile(path, "w") as archive:
        inner.write(whole.read("model.weights.h5"))
        with h5py.File(inner, "r+") as file:
            del file["layers/conv2d/vars/0"]
            file.create_dataset("layers/conv2d/vars/0", (1 << 20, 1 << 20), "float32", chunks=(64, 64))
        for name in whole.namelist():
            archive.writestr(name, inner.getvalue() if name == "model.weights.h5" else whole.read(name))
    assert "its weights claim 4398.0 GB" in assert_refused(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"units": 3', '"units": 3000000000'),
        ('"filters": 4', '"filters": 4000000'),
    ],
)
def test_a_layer_that_asks_for_gigabytes(folder, tmp_path, old, new):
    path = with_config(folder, tmp_path, lambda text: text.replace(old, new))
    assert "which the file cannot hold: it is damaged" in assert_refused(path)


def test_a_layer_of_an_hdf5_file_that_asks_for_gigabytes(folder, tmp_path):
    path = Path(shutil.copy(folder / "net.h5", tmp_path))
    with h5py.File(path, "r+") as file:
        config = file.attrs["model_config"]
        file.attrs["model_config"] = config.replace('"units": 3', '"units": 9000000')
    assert "which the file cannot hold: it is damaged" in assert_refused(path)


@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
def test_layers_deep_within_each_other(folder, tmp_path, name):
    """Keras takes longer with each, so that a small file would keep it busy for minutes."""

    def nested(text):
        before, after = '{"class_name": "Sequential", "config": {"name": "deep", "layers": [', "]}}"
        return 40 * before + text + 40 * after

    path = tmp_path / name
    if name == "net.keras":
        with_config(folder, tmp_path, nested)
    else:
        shutil.copy(folder / name, path)
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = nested(file.attrs["model_config"])
    assert "nested more than 32 deep" in assert_refused(path)


def test_many_members_that_grow_a_thousandfold(folder, tmp_path):
    path = Path(shutil.copy(folder / "net.keras", tmp_path))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"assets/{number}", bytes(49_000_000))
    assert "its parts claim more than the file holds: nothing of it was read" in assert_refused(path)


def test_a_long_name_is_cut(tmp_path):
    path = tmp_path / f"{'n' * 200}.keras"
    path.write_bytes(b"a text")
    assert_refused(path)


# Real networks -----------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize("name", ["imagenet/squeezenet1_1.keras", "cifar10/resnet20.keras"])
@pytest.mark.parametrize("seed", range(3))
def test_flips_in_real_networks_are_found(data_folder, tmp_path, name, seed):
    path = tmp_path / Path(name).name
    path.write_bytes((data_folder / name).read_bytes())
    start, size = max(((start, size) for _, start, size in spans(path)), key=lambda span: span[1])
    at = start + int(np.random.default_rng(seed).integers(size))
    assert_refused(flipped(path, at))


@pytest.mark.data
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_parts_of_a_real_hdf5_file(data_folder, tmp_path, share):
    content = (data_folder / "mnist" / "mnist_cnn.h5").read_bytes()
    (tmp_path / "net.h5").write_bytes(content[: int(share * len(content))])
    assert_refused(tmp_path / "net.h5")
