"""Options with which every method ends soon."""

from napari_saliency.methods import METHODS


def few(samples: int = 5, steps: int = 8, segments: int = 6) -> dict[str, dict[str, int]]:
    """Method → those of these options that it has."""
    wanted = {"samples": samples, "steps": steps, "segments": segments}
    return {
        name: {option.name: wanted[option.name] for option in method.options if option.name in wanted}
        for name, method in METHODS.items()
    }


EVERYWHERE = [name for name, found in METHODS.items() if found.needs != "propagate"]
"""Methods that every model with derivatives gives; captum's rules have tests of their own."""
