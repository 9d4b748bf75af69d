"""The methods on real networks, against derivations that share no code with the adapter."""

import numpy as np
import pytest
from skimage.transform import resize

from napari_saliency.core.types import Targets
from napari_saliency.images import prepare
from napari_saliency.methods import METHODS
from tests.few import few, with_scores
from tests.noise import noise

pytestmark = [pytest.mark.framework, pytest.mark.data]

CLASSES = 1000
CAMS = ["grad_cam", "grad_cam_pp", "hires_cam", "layer_cam"]
DERIVED = [*CAMS, "score_cam", "guided_grad_cam", "activations", "gradient", "gradient_x_input", "guided_backprop",
           "deconvnet", "smoothgrad", "integrated_gradients", "occlusion"]  # fmt: skip
FEW = few(samples=3) | {
    "smoothgrad": {"samples": 3, "seed": 4},
    "integrated_gradients": {"steps": 8},
    "occlusion": {"window": 56, "stride": 40},
    "score_cam": {"layer": "conv1"},
}


@pytest.fixture(scope="module")
def tf(keras):
    import tensorflow

    return tensorflow


def prepared(model, image):
    return prepare.prepare(image, model.info.input).x[None]


def targets_of(*classes, score="logit"):
    return Targets(np.eye(CLASSES, dtype=np.float32)[list(classes)], score)


def answer(name, model, x, targets):
    *_, last = METHODS[name].function(model, x, targets, **FEW.get(name, {}))
    return last.values


def error(result, wanted):
    """Largest difference, as a share of the largest value."""
    return np.abs(result - wanted).max() / np.abs(wanted).max()


class SqueezeNet:
    """SqueezeNet 1.1 in TensorFlow's own operations, eager, with any rule for its ReLUs."""

    def __init__(self, tf, layers, dtype):
        self.tf, self.dtype = tf, dtype
        self.weights = {layer.name: [tf.cast(w, dtype) for w in layer.get_weights()] for layer in layers}

    def convolution(self, x, name, relu, stride=1, padding="SAME"):
        kernel, bias = self.weights[name]
        return relu(self.tf.nn.conv2d(x, kernel, stride, padding) + bias)

    def features(self, x, relu):
        """Output of conv10."""
        pool = {"ksize": 3, "strides": 2, "padding": "VALID"}
        x = self.tf.nn.max_pool2d(self.convolution(x, "conv1", relu, 2, "VALID"), **pool)
        for number in range(2, 10):
            squeezed = self.convolution(x, f"fire{number}_squeeze1x1", relu)
            sides = [
                self.convolution(squeezed, f"fire{number}_expand{side}", relu) for side in ("1x1", "3x3")
            ]
            x = self.tf.concat(sides, -1)
            x = self.tf.nn.max_pool2d(x, **pool) if number in (3, 5) else x
        return self.convolution(x, "conv10", relu)

    def score(self, features, weights, score):
        logits = self.tf.reduce_mean(features, (1, 2))
        powers = self.tf.exp(logits)
        probabilities = powers / self.tf.reduce_sum(powers, -1, keepdims=True)
        scores = {"logit": logits, "probability": probabilities}.get(score)
        scores = self.tf.math.log(probabilities) if scores is None else scores
        return self.tf.reduce_sum(scores * self.tf.cast(weights, self.dtype))

    def relu(self, rule):
        @self.tf.custom_gradient
        def relu(x):
            y = self.tf.nn.relu(x)

            def back(upstream):
                positive = self.tf.where(upstream > 0, upstream, 0)
                return self.tf.where(x > 0, positive, 0) if rule == "guided" else positive

            return y, back

        return relu if rule else self.tf.nn.relu

    def gradient(self, x, targets, rule=None):
        x = self.tf.constant(x, self.dtype)
        with self.tf.GradientTape() as tape:
            tape.watch(x)
            score = self.score(self.features(x, self.relu(rule)), targets.weights, targets.score)
        return tape.gradient(score, x).numpy()

    def cam(self, name, x, targets):
        features = self.features(self.tf.constant(x, self.dtype), self.tf.nn.relu)
        with self.tf.GradientTape() as tape:
            tape.watch(features)
            score = self.score(features, targets.weights, targets.score)
        g, a = tape.gradient(score, features).numpy(), features.numpy()
        space = {"axis": (1, 2), "keepdims": True}
        weights = {
            "grad_cam": lambda: g.mean(**space),
            "grad_cam_pp": lambda: np.divide(
                g**3, 2 * g**2 + g**3 * a.sum(**space), out=np.zeros_like(g), where=g > 0
            ).sum(**space),
            "hires_cam": lambda: g,
            "layer_cam": lambda: np.maximum(g, 0),
        }[name]()
        values = (weights * a).sum(-1)
        return values if name == "hires_cam" else np.maximum(values, 0)

    def guided_grad_cam(self, x, targets):
        coarse = self.cam("grad_cam", x, targets)[0]
        fine = resize(coarse, x.shape[1:3], order=1, mode="edge", anti_aliasing=False)
        return self.gradient(x, targets, "guided") * fine[..., None]

    def score_cam(self, x, targets, layer):
        def value(x):
            return self.score(self.features(x, self.tf.nn.relu), targets.weights, targets.score).numpy()

        wide = self.tf.constant(x, self.dtype)
        channels = self.convolution(wide, layer, self.tf.nn.relu, 2, "VALID").numpy()[0]
        empty, total = value(wide * 0), 0
        for channel in np.moveaxis(channels, -1, 0):
            mask = resize(channel, x.shape[1:3], order=1, mode="edge", anti_aliasing=False)
            if np.ptp(channel) > 0:
                mask = (mask - mask.min()) / np.ptp(mask)
                total = total + (value(wide * mask[..., None]) - empty) * channel
        return np.maximum(total, 0)[None]

    def smoothgrad(self, x, targets, samples, seed):
        noisy = x + 0.15 * (x.max() - x.min()) * noise(seed, samples, x.shape)
        return np.mean([self.gradient(copy, targets) for copy in noisy.astype(np.float32)], 0)

    def integrated_gradients(self, x, targets, steps):
        black = -np.array([103.939, 116.779, 123.68], np.float32) * np.ones_like(x)
        positions = np.linspace(0, 1, steps, dtype=np.float32)
        gradients = [self.gradient(black + a * (x - black), targets) for a in positions]
        return (x - black) * np.trapezoid(gradients, dx=1 / (steps - 1), axis=0)

    def occlusion(self, x, targets, window, stride):
        def value(x):
            features = self.features(self.tf.constant(x, self.dtype), self.tf.nn.relu)
            return self.score(features, targets.weights, targets.score).numpy()

        falls, times, mean = np.zeros(x.shape[:3]), np.zeros(x.shape[:3]), x.mean((1, 2), keepdims=True)
        corners = [*range(0, 224 - window, stride), 224 - window]
        for where in [np.s_[:, y : y + window, x : x + window] for y in corners for x in corners]:
            covered = x.copy()
            covered[where] = mean
            falls[where] += value(x) - value(covered)
            times[where] += 1
        return falls / times

    def answer(self, name, x, targets):
        if name in CAMS:
            return self.cam(name, x, targets)
        return {
            "gradient": lambda: self.gradient(x, targets),
            "gradient_x_input": lambda: self.gradient(x, targets) * x,
            "guided_backprop": lambda: self.gradient(x, targets, "guided"),
            "deconvnet": lambda: self.gradient(x, targets, "deconvnet"),
            "activations": lambda: self.features(self.tf.constant(x, self.dtype), self.tf.nn.relu).numpy(),
            "guided_grad_cam": lambda: self.guided_grad_cam(x, targets),
            "score_cam": lambda: self.score_cam(x, targets, **FEW[name]),
            "smoothgrad": lambda: self.smoothgrad(x, targets, **FEW[name]),
            "integrated_gradients": lambda: self.integrated_gradients(x, targets, **FEW[name]),
            "occlusion": lambda: self.occlusion(x, targets, **FEW[name]),
        }[name]()


@pytest.fixture(scope="module")
def by_hand(data_folder, keras, tf):
    """The network by hand, by precision."""
    network = keras.saving.load_model(data_folder / "imagenet" / "squeezenet1_1.keras", compile=False)
    return {dtype: SqueezeNet(tf, network.layers, dtype) for dtype in ("float32", "float64")}


@pytest.mark.parametrize(("name", "score"), with_scores(DERIVED))
def test_a_method_equals_a_derivation_by_hand_on_squeezenet(squeezenet, by_hand, chelsea, name, score):
    x, targets = prepared(squeezenet, chelsea), targets_of(285, score=score)
    result, truth = answer(name, squeezenet, x, targets), by_hand["float64"].answer(name, x, targets)
    within = 1e-4
    if name == "integrated_gradients":
        # Of the many pictures that it looks at, some lie so near to where a ReLU opens or a maximum changes places that
        # rounding decides, on each processor in its own way: the map is as near to the truth as float32 by hand is.
        within = max(within, 2 * error(by_hand["float32"].answer(name, x, targets), truth))
        assert within < 0.05
    assert error(result, truth) <= within


def test_pictures_of_a_batch_each_have_their_own_map_on_squeezenet(squeezenet, by_hand, chelsea):
    x = np.concatenate([prepared(squeezenet, chelsea), prepared(squeezenet, chelsea[:, ::-1])])
    weights = targets_of(285, 281).weights - targets_of(282, 282).weights
    result = squeezenet.gradient(x, Targets(weights))[1]
    for n in range(2):
        wanted = by_hand["float64"].gradient(x[n : n + 1], Targets(weights[n : n + 1]))
        assert error(result[n : n + 1], wanted) <= 1e-4


# Deep networks with batch normalisation: two derivations in float32 differ by per cents of the maximum
# where rounding opens or closes a ReLU, so the judge is a derivation in float64.


@pytest.fixture(scope="module")
def tapes(data_folder, keras, tf):
    """Eager gradients of the logits of MobileNetV2, rebuilt from keras.applications, by precision."""
    weights = keras.saving.load_model(
        data_folder / "imagenet" / "mobilenet_v2.keras", compile=False
    ).get_weights()
    networks = {}
    for dtype in ("float64", "float32"):
        keras.config.set_dtype_policy(dtype)
        networks[dtype] = keras.applications.MobileNetV2(weights=None, classifier_activation=None)
        networks[dtype].set_weights(weights)
    keras.config.set_dtype_policy("float32")

    def gradient(dtype, x, index):
        x = tf.constant(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = networks[dtype](x, training=False)[0, index]
        return tape.gradient(score, x).numpy()

    return networks, gradient


def test_gradients_of_mobilenet_are_as_near_to_float64_as_a_plain_tape(mobilenet, tapes, data_folder):
    """Two errors in one: that of rounding, and, in most pictures, of a ReLU that rounding has switched.

    The second is a matter of luck in each picture, for either derivation, and hides the first.
    """
    ours, plain = [], []
    random = np.random.default_rng(0)
    photos = sorted((data_folder / "photos").glob("*.jpg"))
    for number, photo in enumerate(photos * 2):
        x = prepared(mobilenet, prepare.load_image(photo))
        x += (number >= len(photos)) * random.normal(0, 0.02, x.shape).astype(np.float32)
        index = int(mobilenet.scores(x).argmax())
        wanted = tapes[1]("float64", x, index)
        result = answer("gradient", mobilenet, x, targets_of(index)), tapes[1]("float32", x, index)
        for errors, values in zip((ours, plain), result, strict=True):
            errors.append(np.sqrt(np.mean((values - wanted) ** 2) / np.mean(wanted**2)))
    assert max(plain) < 0.05
    assert min(ours) <= min(plain)
    assert np.mean(ours) <= 1.5 * np.mean(plain)


def test_grad_cam_of_mobilenet_is_its_closed_form(mobilenet, tapes, keras, chelsea):
    """Pooling and one dense layer: the gradient is the dense layer's column."""
    wide = tapes[0]["float64"]
    x = prepared(mobilenet, chelsea)
    features = keras.Model(wide.input, wide.get_layer("out_relu").output)(x.astype(np.float64)).numpy()
    column = wide.get_layer("predictions").get_weights()[0][:, 285]
    wanted = np.maximum(features @ column / 49, 0)
    assert error(answer("grad_cam", mobilenet, x, targets_of(285)), wanted) <= 1e-4


def test_two_classes_light_up_different_places(mobilenet, data_folder):
    """The picture shows both; of each class the map's centre lies on its own side."""
    photos = [
        prepare.load_image(data_folder / "photos" / name)[..., :3] for name in ("zebra.jpg", "banana.jpg")
    ]
    sides = [prepared(mobilenet, photo)[0, :, 56:168] for photo in photos]
    x = np.concatenate(sides, axis=1)[None]
    centres = []
    for index in (340, 954):
        values = answer("grad_cam", mobilenet, x, targets_of(index))[0]
        centres.append((values.sum(0) * np.arange(values.shape[1])).sum() / values.sum())
    assert centres[0] < 3 < centres[1]
