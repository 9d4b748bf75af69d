"""Running weighted least squares, against numpy's over all samples at once."""

import numpy as np
import pytest

from napari_saliency.methods._shared.regression import Regression


def samples(count=60, coefficients=5, seed=0):
    random = np.random.default_rng(seed)
    design = (random.random((count, coefficients)) < 0.5).astype(float)
    responses = design @ random.normal(size=coefficients) + random.normal(size=count)
    return design, responses, random.uniform(0.2, 1, count)


def fitted(rows, ridge=0.0, group=7):
    regression = Regression(ridge * np.eye(rows[0].shape[1]))
    for start in range(0, len(rows[0]), group):
        regression.add(*(each[start : start + group] for each in rows))
    return regression.solve()


@pytest.mark.parametrize("group", [1, 7, 60])
@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_it_is_the_fit_of_all_samples_at_once_however_they_are_grouped(group, ridge):
    design, responses, weights = samples()
    result = fitted((design, responses, weights), ridge, group)
    root = np.sqrt(weights)
    rows = np.concatenate([design * root[:, None], np.sqrt(ridge) * np.eye(5)])
    wanted = np.linalg.lstsq(rows, np.concatenate([responses * root, np.zeros(5)]), rcond=None)[0]
    np.testing.assert_allclose(result.coefficients, wanted, rtol=1e-6)
    residuals = responses - design @ wanted
    bread = (
        np.linalg.inv(design.T @ np.diag(weights) @ design + ridge * np.eye(5)) @ design.T @ np.diag(weights)
    )
    left_out = np.diag((residuals / (1 - np.diag(design @ bread))) ** 2)
    np.testing.assert_allclose(result.stderr, np.sqrt(np.diag(bread @ left_out @ bread.T)), rtol=1e-6)
    spread = np.average((responses - np.average(responses, weights=weights)) ** 2, weights=weights)
    explained = 1 - np.average(residuals**2, weights=weights) / spread
    assert result.r_squared == pytest.approx(explained, rel=1e-6)


def test_residuals_need_not_have_one_variance():
    """One coefficient whose samples scatter much, and one whose hardly do: each has its own error."""
    random = np.random.default_rng(0)
    result = []
    for _ in range(200):
        design = np.eye(2)[random.integers(0, 2, 100)]
        responses = design @ [3, 5] + random.normal(size=100) * (design @ [10, 0.1])
        result.append(fitted((design, responses, np.ones(100))))
    scatter = np.std([each.coefficients for each in result], axis=0, ddof=1)
    said = np.sqrt(np.mean([each.stderr**2 for each in result], axis=0))
    np.testing.assert_allclose(said, scatter, rtol=0.15)


def test_before_samples_determine_them_the_coefficients_are_the_shortest_and_their_errors_unknown():
    design, responses, weights = (each[:3] for each in samples())
    result = fitted((design, responses, np.ones(3)))
    np.testing.assert_allclose(result.coefficients, np.linalg.pinv(design) @ responses, rtol=1e-4, atol=1e-6)
    assert np.isinf(result.stderr).all()
    assert np.isinf(fitted((design, responses, weights), ridge=1.0).stderr).all()


def test_what_hangs_on_one_sample_alone_is_unknown():
    design, responses, weights = samples(50)
    design[:, 3] = 0
    assert np.isinf(fitted((design, responses, weights)).stderr).all()
    design[7, 3] = 1
    assert np.isinf(fitted((design, responses, weights)).stderr).all()
    design[8, 3] = 1
    assert np.isfinite(fitted((design, responses, weights)).stderr).all()


def test_many_samples_of_the_same_directions_say_nothing_of_the_others():
    design, responses, weights = samples(50)
    design[:, 3] = design[:, 1]
    assert np.isinf(fitted((design, responses, weights)).stderr).all()


def test_responses_that_are_all_the_same_are_explained():
    result = fitted((np.ones((20, 1)), np.full(20, 3.0), np.ones(20)))
    assert result.coefficients[0] == pytest.approx(3)
    assert result.r_squared == 1
