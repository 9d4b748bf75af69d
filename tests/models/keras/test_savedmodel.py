"""SavedModel folders give what the networks give that they were made from."""

import os
import shutil

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.models import load_model

pytestmark = [
    pytest.mark.framework,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

SHAPE = (16, 18, 3)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def tf(keras):
    import tensorflow

    return tensorflow


@pytest.fixture(scope="module")
def network(keras):
    k = keras.layers
    keras.utils.set_random_seed(0)
    z = inputs = keras.Input(SHAPE)
    z = k.Conv2D(8, 3, name="one")(z)
    z = k.ReLU(name="relu")(k.BatchNormalization(name="norm")(z))
    z = k.Conv2D(40, 3, strides=2, activation="relu", name="two")(z)
    z = k.Conv2D(40, 3, activation="relu", name="three")(z)  # large enough to be fed
    z = k.GlobalAveragePooling2D()(k.MaxPooling2D(name="half")(z))
    return keras.Model(inputs, k.Dense(4, activation="softmax", name="top")(z))


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "net"
    network.export(folder, verbose=False)
    return folder


def targets(*classes, count=4, score="logit"):
    return Targets(np.eye(count, dtype=np.float32)[list(classes)], score)


def assert_same(result, wanted, x):
    np.testing.assert_allclose(result.scores(x), wanted.scores(x), atol=1e-4)
    for score, rule in [("logit", None), ("probability", None), ("logit", "guided"), ("logit", "deconvnet")]:
        oracle = wanted.gradient(x, targets(1, 2, score=score), rule)[1]
        assert np.abs(oracle).max() > 1e-6
        other = result.gradient(x, targets(1, 2, score=score), rule)[1]
        np.testing.assert_allclose(other, oracle, atol=1e-4 * np.abs(oracle).max())


@pytest.mark.parametrize("named", ["", "saved_model.pb"])
def test_a_folder_that_keras_exported(opened, network, folder, x, named):
    result = load_model(folder / named)
    assert_same(result, opened(network), x)
    assert (result.info.name, result.info.source) == ("net", str(folder))
    assert (result.info.input.description, result.info.activation, result.info.logits) == (
        "18×16 RGB",
        "softmax",
        True,
    )
    assert result.info.questions == ("preprocessing", "labels")
    assert len(result.info.fingerprint) == 64


def test_layers_of_a_folder_are_those_of_the_network(opened, network, folder, x):
    result, wanted = load_model(folder), opened(network)
    scopes = [layer.name for layer in result.info.layers]
    found_as = {scope.removesuffix("_1"): scope for scope in scopes}  # Keras counts its traces
    layers = {layer.name.removesuffix("_1"): layer[1:] for layer in result.info.layers}
    assert list(layers) == ["one", "norm", "relu", "two", "three", "half"]
    assert result.info.cam_layer == found_as["three"]
    for name in ("relu", "two", "three", "half"):
        assert layers[name] == next(layer[1:] for layer in wanted.info.layers if layer.name == name)
        for a, b in zip(
            result.tap(x, targets(0, 3), found_as[name]), wanted.tap(x, targets(0, 3), name), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(b).max(), 1e-3))


def test_settings_beside_a_folder(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "net")
    (tmp_path / "net.saliency.json").write_text('{"labels": ["a", "b", "c", "d"], "preprocessing": "tf"}')
    info = load_model(copy).info
    assert (info.labels, info.input.preprocessing.name, info.questions) == (tuple("abcd"), "tf", ())


@pytest.fixture
def simple(tf, tmp_path):
    """A module of TensorFlow 2 with one function, as a folder."""

    def save(function, *shape, dtype="float32", names=("picture",)):
        class Module(tf.Module):
            def __init__(self):
                super().__init__()
                self.kernel = tf.Variable(np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))

            @tf.function
            def call(self, *args):
                return function(self, *args)

        module = Module()
        specs = [tf.TensorSpec(shape, dtype, name=name) for name in names]
        tf.saved_model.save(
            module, str(tmp_path / "net"), signatures=module.call.get_concrete_function(*specs)
        )
        return module, tmp_path / "net"

    return save


def test_an_own_function_of_tensorflow_2(tf, simple, x):
    def call(self, x):
        return tf.math.sigmoid(tf.reshape(x, (-1, 12)) @ self.kernel)

    module, folder = simple(lambda self, x: {"scores": call(self, x)}, None, 2, 2, 3)
    result, x = load_model(folder), x[:, :2, :2]
    assert result.info.activation == "sigmoid"
    np.testing.assert_allclose(result.scores(x), x.reshape(2, 12) @ module.kernel.numpy(), atol=1e-5)
    wanted = module.kernel.numpy().T[[0, 2]].reshape(2, 2, 2, 3)
    np.testing.assert_allclose(result.gradient(x, targets(0, 2, count=3))[1], wanted, atol=1e-6)


def test_whole_numbers_and_the_channels_first(tf, simple):
    def call(self, x):
        x = tf.transpose(tf.cast(x, tf.float32), (0, 2, 3, 1))
        return {"scores": tf.reshape(x, (-1, 12)) @ self.kernel}

    module, folder = simple(call, None, 3, 2, 2, dtype="uint8")
    result, x = load_model(folder), np.random.default_rng(0).uniform(0, 255, (2, 2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(
        result.scores(x), np.round(x).reshape(2, 12) @ module.kernel.numpy(), rtol=1e-4
    )
    wanted = module.kernel.numpy().T[[0, 2]].reshape(2, 2, 2, 3)
    np.testing.assert_allclose(result.gradient(x, targets(0, 2, count=3))[1], wanted, atol=1e-6)
    assert "preprocessing" not in result.info.questions


def test_inputs_and_outputs_of_a_folder_by_name(tf, simple, x):
    def call(self, b, a):
        return {
            "one": tf.reshape(a, (-1, 12)) @ self.kernel,
            "two": tf.reshape(b, (-1, 12)) @ self.kernel * 2,
        }

    module, folder = simple(call, None, 2, 2, 3, names=("b", "a"))
    result, x = load_model(folder, input="b", output="two"), x[:, :2, :2]
    np.testing.assert_allclose(result.scores(x), 2 * x.reshape(2, 12) @ module.kernel.numpy(), atol=1e-5)
    assert load_model(folder, input="a").info.outputs == ("one", "two")


def test_a_folder_of_tensorflow_1(tf, tmp_path, x):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        picture = v1.placeholder(tf.float32, [None, *SHAPE], name="x")
        with v1.variable_scope("net", use_resource=False):
            kernel = v1.get_variable("kernel", initializer=tf.random.normal((3, 3, 3, 5), seed=0))
        features = tf.nn.relu(tf.nn.conv2d(picture, kernel, 1, "VALID"), name="net/features")
        probabilities = tf.nn.softmax(tf.reduce_mean(features, (1, 2)))
        session.run(v1.global_variables_initializer())
        kernel = session.run(kernel)
        v1.saved_model.simple_save(
            session, str(tmp_path / "net"), {"image": picture}, {"classes": probabilities}
        )
    result = load_model(tmp_path / "net")
    with tf.GradientTape() as tape:
        tape.watch(own := tf.constant(x))
        logits = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(own, kernel, 1, "VALID")), (1, 2))
        value = tf.reduce_sum(logits * np.eye(5, dtype=np.float32)[[3, 1]])
    np.testing.assert_allclose(result.scores(x), logits, atol=1e-4)
    wanted = tape.gradient(value, own)
    np.testing.assert_allclose(result.gradient(x, targets(3, 1, count=5))[1], wanted, atol=1e-5)
    assert result.info.cam_layer == "net"


# Folders that do not open ------------------------------------------------------------------------


def refused(folder):
    with pytest.raises(ModelError) as raised:
        load_model(folder)
    text = str(raised.value)
    assert text.startswith(f"{folder.name} could not be opened: ")
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_folder_with_something_else_than_files_is_refused(folder, tmp_path):
    folder = shutil.copytree(folder, tmp_path / "net")
    index = folder / "variables" / "variables.index"
    index.unlink()
    os.mkfifo(index)
    assert "'variables.index' within it is not a regular file" in refused(folder)


@pytest.mark.parametrize("operation", ["ReadFile", "WriteFile", "EagerPyFunc", "MatchingFiles"])
def test_operations_that_could_do_harm_are_refused_and_never_run(tf, simple, tmp_path, operation):
    mark = tmp_path / "was run"
    harms = {
        "ReadFile": lambda: tf.io.read_file(str(mark)),
        "WriteFile": lambda: tf.io.write_file(str(mark), "x"),
        "MatchingFiles": lambda: tf.io.matching_files("/*"),
        "EagerPyFunc": lambda: tf.py_function(mark.touch, [], []),
    }

    def call(self, x):
        harms[operation]()
        return {"scores": tf.reshape(x, (-1, 12)) @ self.kernel}

    _, folder = simple(call, None, 2, 2, 3)
    text = refused(folder)
    assert f"it has a {operation} operation" in text
    assert not mark.exists()


def test_what_saves_is_part_of_no_answer(tf, simple, tmp_path):
    """Each folder has this operation; no function that could be run may have it."""

    def call(self, x):
        tf.raw_ops.SaveV2(prefix=str(tmp_path / "x"), tensor_names=["x"], shape_and_slices=[""], tensors=[x])
        return {"scores": tf.reshape(x, (-1, 12)) @ self.kernel}

    _, folder = simple(call, None, 2, 2, 3)
    assert "it has a SaveV2 operation" in refused(folder)
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("kind", ["main_op", "signature", "variable"])
def test_nothing_is_saved_while_a_folder_of_tensorflow_1_is_loaded(tf, tmp_path, kind):
    v1, mark = tf.compat.v1, tmp_path / "mark"
    with tf.Graph().as_default(), v1.Session() as session:
        picture = v1.placeholder(tf.float32, [None, *SHAPE], name="x")
        start = tf.random.normal((3, 5), seed=0)
        save = v1.raw_ops.SaveV2(
            prefix=str(mark), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant([1, 2, 3])]
        )
        if kind == "variable":
            with tf.control_dependencies([save]):
                start = tf.identity(start)
        kernel = v1.get_variable("kernel", initializer=start)
        scores = tf.reduce_mean(picture, (1, 2)) @ kernel
        if kind == "signature":
            with tf.control_dependencies([save]):
                scores = tf.identity(scores)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "net"))
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(picture)}, {"y": info(scores)}, "predict")
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            main_op=save if kind == "main_op" else None,
        )
        builder.save()
    for path in tmp_path.glob("mark*"):
        path.unlink()
    assert "it has a SaveV2 operation" in refused(tmp_path / "net")
    assert not list(tmp_path.glob("mark*"))


def test_nothing_is_saved_while_a_table_is_set_up(tf, tmp_path, x):
    from tensorflow.python.trackable.resource import CapturableResource

    class Evil(CapturableResource):
        def _create_resource(self):
            return tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

        def _initialize(self):
            tf.raw_ops.SaveV2(
                prefix=str(tmp_path / "mark"),
                tensor_names=["a"],
                shape_and_slices=[""],
                tensors=[tf.constant(1)],
            )

    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.evil = Evil()
            self.kernel = tf.Variable(np.ones((3, 3), np.float32))

        @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32)])
        def call(self, x):
            table = tf.cast(tf.raw_ops.LookupTableSizeV2(table_handle=self.evil.resource_handle), tf.float32)
            return {"scores": tf.reduce_mean(x, (1, 2)) @ self.kernel + table}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=module.call)
    for path in tmp_path.glob("mark*"):
        path.unlink()
    assert "it has a SaveV2 operation" in refused(tmp_path / "net")
    assert not list(tmp_path.glob("mark*"))


@pytest.mark.parametrize(
    "name",
    [
        *("ImmutableConst", "Abort", "MlirPassthroughOp"),
        *("ReadFile", "WriteFile", "PyFunc", "PyFuncStateless", "EagerPyFunc", "MatchingFiles", "SqlDataset"),
        *("DatasetFromGraph", "DataServiceDatasetV4", "DistributedSave", "RemoteCall", "DecodeProtoV2"),
        *("FileSystemSetConfiguration", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
        *("ReaderRead", "WholeFileReader", "GenerateVocabRemapping", "LoadAndRemapMatrix", "PrintV2", "Save"),
        *("DebugIdentity", "RegisterDataset", "SnapshotDatasetReader", "CreateSummaryFileWriter", "Restore"),
        *("_Send", "CollectiveGather", "IteratorGetNext", "NoSuchOperation", "WriteSummary", "MapDataset"),
        # Without state and without a name that says so: they stand in no module that computes.
        *("InfeedEnqueuePrelinearizedBuffer", "MapDefun", "WindowOp", "BatchFunction", "UncompressElement"),
    ],
)
def test_only_what_computes_is_harmless(tf, name):
    from napari_saliency.models.safety.keras_savedmodel import check_answer

    definition = tf.compat.v1.GraphDef()
    definition.node.add(name="a", op=name)
    with pytest.raises(ModelError, match=f"it has a {name} operation"):
        check_answer(definition)


def test_what_classifiers_are_made_of_is_harmless(tf):
    from napari_saliency.models.safety.keras_savedmodel import check_answer

    definition = tf.compat.v1.GraphDef()
    for name in (
        *(
            "Conv2D",
            "DepthwiseConv2dNative",
            "FusedBatchNormV3",
            "MatMul",
            "BatchMatMulV2",
            "Einsum",
            "Softmax",
        ),
        *("ReadVariableOp", "StatefulPartitionedCall", "PartitionedCall", "StatelessIf", "While", "Identity"),
        *("LookupTableFindV2", "RandomUniform", "StatelessRandomUniformV2", "ResizeBilinear", "Placeholder"),
        *(
            "Const",
            "NoOp",
            "HashTableV2",
            "TensorListStack",
            "IdentityN",
            "Erf",
            "Relu6",
            "Conv2DBackpropInput",
        ),
    ):
        definition.node.add(name=name, op=name)
    check_answer(definition)


def test_other_inputs_than_pictures(tf, simple):
    _, folder = simple(lambda self, x: {"y": tf.strings.length(x)}, None, dtype="string")
    assert "takes inputs of shape (None,)" in refused(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("saved_model.pb", lambda path: path.write_bytes(b"")),
        ("saved_model.pb", lambda path: path.write_bytes(b"a text")),
        ("saved_model.pb", lambda path: path.write_bytes(path.read_bytes()[:-500])),
        ("variables/variables.index", lambda path: path.unlink()),
        ("variables/variables.index", lambda path: path.write_bytes(b"a text")),
        ("variables/variables.data-00000-of-00001", lambda path: path.unlink()),
        ("variables/variables.data-00000-of-00001", lambda path: path.write_bytes(path.read_bytes()[:99])),
    ],
)
def test_damaged_folders(folder, tmp_path, name, change):
    copy = shutil.copytree(folder, tmp_path / "net")
    change(copy / name)
    refused(copy)


def test_a_flip_in_the_weights_is_found_by_their_checksum(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "net")
    path = copy / "variables" / "variables.data-00000-of-00001"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    refused(copy)
