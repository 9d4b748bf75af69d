import pytest

from napari_saliency.core.errors import LONGEST_QUOTE, quote


@pytest.mark.parametrize("value", ["cat", 3, None, (224, 224), "x" * (LONGEST_QUOTE - 2)])
def test_a_short_value_is_quoted_as_python_writes_it(value):
    assert quote(value) == repr(value)


@pytest.mark.parametrize("value", ["folder/" * 100 + "name.keras", list(range(1000))])
def test_a_long_value_keeps_its_ends(value):
    text = quote(value)
    assert len(text) <= LONGEST_QUOTE
    assert text.startswith(repr(value)[:60])
    assert text.endswith(repr(value)[-40:])
    assert "…" in text
