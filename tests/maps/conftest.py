import warnings

import pytest


@pytest.fixture(scope="module")
def image_layer():
    """Return a function that makes an Image layer of napari, without a window."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # napari's own imports
        from napari.layers import Image

    def make(data, **options):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Non-orthogonal slicing")
            return Image(data, **options)

    return make
