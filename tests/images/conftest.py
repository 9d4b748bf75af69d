from pathlib import Path

import pytest
import skimage

from napari_saliency.images.files import load_image


@pytest.fixture(scope="package")
def chelsea():
    return load_image(Path(skimage.__file__).parent / "data" / "chelsea.png")
