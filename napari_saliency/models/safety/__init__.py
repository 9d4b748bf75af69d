"""Checks of model files before a framework opens them; one door, `check`.

A model's file is not trusted. What opens it may run code (pickles, Lambda layers, TorchScript), may read and write
other files (operations of TensorFlow, weights beside an ONNX file), or may fill the memory. So each file is looked
through against a list of what is allowed, by a reader that can run nothing, before its framework sees it; where two
readers could differ, the framework is given a copy of just what was looked through. The three checks that need a
framework's own knowledge stand behind its adapter's doors: `keras_files.check_config` (which classes are registered),
`keras_savedmodel.check_answer` (the graph that TensorFlow made) and `torch_archives.check_operators` (what
TorchScript's compiler made), each before anything of it runs.

`ATTACKS` says what is refused, and which test holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.backends import BACKENDS, find_backend

__all__ = ["ATTACKS", "Checked", "check"]

ATTACKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # Programs
        "a pickle that runs when it is read": ("test_pickles_are_refused_and_never_run",),
        "pickles within an exported graph": ("test_an_exported_graph_opens_and_its_pickles_do_not_run",),
        "an exported graph's sizes, which PyTorch evaluates as Python": (
            "test_sizes_that_are_programs_do_not_run",
            "test_sizes_that_take_hours_to_work_out_are_refused",
        ),
        "an exported graph's names, which PyTorch writes into Python": (
            "test_names_that_are_programs_do_not_run",
        ),
        "an exported graph's guards, which PyTorch executes": ("test_guards_are_not_executed",),
        "an exported graph's operators that do more than compute": (
            "test_operators_that_do_more_than_compute_are_refused",
        ),
        "objects and classes of other kinds in an exported graph": (
            "test_objects_of_other_kinds_are_refused_wherever_they_lie",
        ),
        "TorchScript that runs while it is loaded, or writes files": (
            "test_torchscript_that_writes_files_is_refused",
            "test_torchscript_that_writes_in_any_spelling_is_refused",
        ),
        "a Lambda layer": ("test_a_lambda_layer_is_refused_and_its_program_never_run",),
        "functions of Keras that read, write or fetch": (
            "test_functions_of_keras_that_do_not_compute_are_not_called",
        ),
        "a class whose module Keras would import": (
            "test_a_class_that_names_its_own_module_brings_nothing_to_run",
        ),
        # Files
        "a member of an archive that would leave its folder": ("test_members_that_would_leave_their_folder",),
        "weights of an ONNX file from outside of its folder": (
            "test_weights_from_outside_of_the_folder_are_not_read",
        ),
        # Memory, time, and the end of the process
        "an archive that grows a thousandfold": (
            "test_an_archive_that_grows_a_thousandfold_is_not_read",
            "test_a_member_that_grows_a_thousandfold",
            "test_many_members_that_grow_a_thousandfold",
        ),
        "weights that claim more than the file holds": (
            "test_weights_that_claim_terabytes",
            "test_weights_within_an_archive_that_claim_terabytes",
        ),
        "a layer that asks for more than the file holds": (
            "test_a_layer_that_asks_for_gigabytes",
            "test_a_layer_of_an_hdf5_file_that_asks_for_gigabytes",
        ),
        "a configuration of gigabytes, or too deep": (
            "test_a_configuration_of_gigabytes",
            "test_layers_deep_within_each_other",
        ),
        "TorchScript too long or too deep to be read": (
            "test_torchscript_too_deep_to_be_read_does_not_end_the_process",
            "test_torchscript_that_fills_the_memory_while_it_is_read_is_refused",
        ),
        "functions of an ONNX file that call each other endlessly": (
            "test_functions_that_call_each_other_without_an_end_are_told",
        ),
    }
)
"""What a file may try, and the tests that hold that it does not succeed."""


class Checked(NamedTuple):
    """A file that was looked through.

    Attributes
    ----------
    path : Path
        Where it lies.
    content : object
        What was looked through, where the framework is to read just that; None where it reads the file itself.
    """

    path: Path
    content: Any = None


def check(path: Path, backend: str = "") -> Checked:
    """Look through a file, or a folder that is a model, before its framework sees it.

    Parameters
    ----------
    path : Path
        Of a model, or of weights.
    backend : str
        Key in `BACKENDS` of whatever is going to read it; without it, of what opens files of this ending.

    Returns
    -------
    Checked

    Raises
    ------
    ModelError
        If it is damaged, would run a program or reach for other files, or claims more than the file holds; the
        message leaves the name to the caller.
    """
    reader = BACKENDS.get(backend) or find_backend(path)
    if reader is None or not reader.checker:
        raise ModelError(f"{quote(path.suffix)} is not a kind of file that can be checked")
    return Checked(path, reader.check(path))
