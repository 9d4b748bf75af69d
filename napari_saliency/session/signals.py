"""What an inspection tells."""

from __future__ import annotations

from psygnal import Signal


class Signals:
    """Each carries the new value; the inspection's attribute of the same name holds it, but for two.

    ``class_changed`` carries the selected class and comes with every other weighting, too; ``failed`` is an
    event.
    """

    model_changed = Signal(object)  # ModelStatus
    picture_changed = Signal(object)  # Picture | None
    prepared_changed = Signal(object)  # Prepared | None
    prediction_changed = Signal(object)  # Prediction | None
    class_changed = Signal(object)  # int | None
    known_classes_changed = Signal(object)  # frozenset[int]
    progress_changed = Signal(object)  # Progress | None
    explanation_changed = Signal(object)  # Explanation | None
    checks_changed = Signal(object)  # Checks
    failed = Signal(object)  # Problem
