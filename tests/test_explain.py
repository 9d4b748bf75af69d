"""The one door: pictures in, explanations out."""

from tests.few import few

FEW = few()
