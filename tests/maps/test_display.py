import pytest

from napari_saliency.maps.display import Display


def test_auto_follows_what_a_method_shows():
    assert Display().of("map") == Display("max")
    assert Display(sign="signed").of("stack") == Display("each", "signed")
    assert Display("sum").of("stack") == Display("sum")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"reduction": "min"}, "reduction 'min' is not one of auto, max, sum, mean, norm, each"),
        ({"sign": "both"}, "sign 'both' is not one of"),
        ({"contrast": "all"}, "contrast 'all' is not one of per class, shared"),
        ({"colormap": "viridis"}, "colormap 'viridis' is not one of None, heat"),
        ({"clip": 101}, "clip 101 must be a percentile between 50 and 100"),
        ({"clip": float("nan")}, "clip nan"),
    ],
)
def test_choices_that_do_not_exist_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        Display(**wrong)
