"""What frameworks say, as they say it, and what is left of it; the adapters' tests make them say it."""

import pytest

from napari_saliency.models.error_messages import (
    LARGER,
    NotRunError,
    TooSmallError,
    hinting,
    is_too_small,
    not_run,
    reason,
)

TENSORFLOW = """Graph execution error:

Detected at node sequential_1/conv2d_1/BiasAdd defined at (most recent call last):
  File "/home/me/train.py", line 22, in <module>

  File "/usr/lib/python3/keras/src/backend/tensorflow/numpy.py", line 129, in add

{}
\t [[{{{{node sequential_1/conv2d_1/BiasAdd}}}}]] [Op:__inference_wrapped_function_406]"""

ROOTS = """Graph execution error:

Detected at node a defined at (most recent call last):
<stack traces unavailable>
2 root error(s) found.
  (0) INVALID_ARGUMENT:  Incompatible shapes: [1,3] vs. [1,2]
\t [[{{node a}}]]
  (1) CANCELLED:  Function was cancelled before it was started
0 successful operations."""

KERAS = """Exception encountered when calling MaxPooling2D.call().

\x1b[1mComputed output size would be zero or negative. Received: `pool_size=[3 3]`.\x1b[0m

Arguments received by MaxPooling2D.call():
  • args=('<KerasTensor shape=(None, 2, 2, 4)>',)"""

NEGATIVE = (
    "Negative dimension size caused by subtracting 3 from 2 for '{{node conv/Conv2D}} = Conv2D[T=DT_FLOAT]"
    "(x, y)' with input shapes: [?,2,2,3], [3,3,3,8]."
)

SCRIPT = """The following operation failed in the TorchScript interpreter.
Traceback of TorchScript (most recent call last):
  File "/usr/lib/python3/torch/nn/modules/conv.py", line 560, in _conv_forward
        return F.conv2d(
               ~~~~~~~~ <--- HERE
            input, weight, bias, self.stride, self.padding, self.dilation, self.groups
        )
RuntimeError: {}
"""
KERNEL = (
    "Calculated padded input size per channel: (3 x 3). Kernel size: (5 x 5). "
    "Kernel size can't be greater than actual input size"
)
SIZES = "Sizes of tensors must match except in dimension 1. Expected size 13 but got size 12."

ONNX = (
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running {} node. Name:'{}' "
    "Status Message: {}"
)
CANNOT = "The input tensor cannot be reshaped to the requested shape. Input shape:{1,4}, requested shape:{3}"
MISMATCH = "Compute MatMul dimension mismatch"
RESHAPE = (
    "/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:84 onnxruntime::ReshapeHelper::"
    "ReshapeHelper(const onnxruntime::TensorShape&, bool) size != 0 && (input_shape_size % size) == 0 was "
    f"false. {CANNOT}\n"
)

TINY = "Computed output size would be negative: -1 [input_size: 3, effective_filter_size: 5, stride: 1]"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (TENSORFLOW.format(TINY), TINY),
        (TENSORFLOW.format("Input to reshape is a tensor with 4 values"), "Input to reshape is a tensor with 4 values"),
        (ROOTS, "Incompatible shapes: [1,3] vs. [1,2]"),
        (KERAS, "Computed output size would be zero or negative. Received: `pool_size=[3 3]`."),
        (NEGATIVE, "Negative dimension size caused by subtracting 3 from 2"),
        (SCRIPT.format(KERNEL), KERNEL),
        (SIZES, SIZES),
        (ONNX.format("MatMul", "", f"matmul_helper.h:59 {MISMATCH}"), MISMATCH),
        (ONNX.format("Reshape", "r", RESHAPE), CANNOT),
        ("one line\nand another", "one line"),
        ("", "RuntimeError"),
        ("x" * 1000, "x" * 300),
    ],
)  # fmt: skip
def test_the_reason_is_told_and_nothing_around_it(said, why):
    assert reason(RuntimeError(said)) == why


@pytest.mark.parametrize(
    "said",
    [
        TENSORFLOW.format(TINY),
        KERAS,
        NEGATIVE,
        KERNEL,
        SCRIPT.format(KERNEL),
        "Given input size: (4x2x2). Calculated output size: (4x0x0). Output size is too small",
        "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding (4, 4)",
        "Guard failed: input.size()[2] >= 8",
        "Expected input at *args[0].shape[2] to be >= 16, but got 3",
        ONNX.format("Conv", "Conv_0_nchwc", "Invalid input shape: {1,1}"),
    ],
)
def test_pictures_that_are_too_small_are_known_by_what_is_said_of_them(said):
    error = not_run((8, 12, 3), RuntimeError(said))
    assert isinstance(error, TooSmallError)
    assert str(error) == "a picture of 12×8 pixels is too small for this model"
    assert str(not_run((8, 12, 9, 1), RuntimeError(said))).startswith("a volume of 8×12×9 voxels is too")


@pytest.mark.parametrize(
    "said",
    [
        ROOTS,
        SIZES,
        "mat1 and mat2 shapes cannot be multiplied (1x36 and 400x2)",
        "Guard failed: input.size()[2] == 32",
        "Guard failed: input.size()[2] <= 64",
        ONNX.format("MatMul", "", "Invalid input shape: {1,1}"),
    ],
)
def test_others_are_not(said):
    assert not is_too_small(RuntimeError(said))
    assert str(not_run((8, 12, 3), RuntimeError(said))) == (
        f"the model could not be run on images of shape (8, 12, 3): {reason(RuntimeError(said))}"
    )


@pytest.mark.parametrize("free", [True, False])
def test_what_helps_is_said_where_the_size_is_free(free):
    with (
        pytest.raises(Exception, match="too small for this model") as raised,
        hinting((None if free else 8, 8, 3)),
    ):
        raise not_run((8, 8, 3), RuntimeError(KERNEL))
    assert str(raised.value).endswith(LARGER) == free
    assert not isinstance(raised.value, NotRunError)  # it is said once
