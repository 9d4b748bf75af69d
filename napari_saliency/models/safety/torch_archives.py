"""PyTorch's archives, which may hold nothing that runs, reads or writes, other than what computes the output.

An exported graph is JSON whose operators PyTorch looks up by name, whose sizes it evaluates and whose names it
writes into Python that it executes. TorchScript is a program. All of it is looked through before PyTorch sees
it, and PyTorch is given a copy of just what was looked through: two readers of one archive may differ.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

from napari_saliency.core.errors import ModelError
from napari_saliency.models.error_messages import reason
from napari_saliency.models.safety.archives import check_sizes

# What sizes in an exported graph are made of, as in Add(Symbol('s0', integer=True), Integer(1)).
ARITHMETIC = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Constant, ast.Load),
    *(ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Compare, ast.cmpop),
)
# Functions that may be called in them.
FUNCTIONS = frozenset(
    (
        *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Abs", "Max", "Min", "Mod"),
        *("Eq", "Ne", "Ge", "Gt", "Le", "Lt", "Equality", "Unequality", "GreaterThan", "LessThan"),
        *("StrictGreaterThan", "StrictLessThan", "And", "Or", "Not", "Piecewise", "floor", "ceiling"),
        *("FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt"),
        *("CeilDiv", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv"),
        *("IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal"),
        *("ToFloat", "Identity"),
    )
)
# Of one expression: parts, arguments of one function, and the product of all powers. PyTorch works out what is
# longer for hours; sizes are sums and products of a few others.
MOST_PARTS, MOST_ARGUMENTS, MOST_POWER = 1000, 12, 8
NUMBERS = ("Integer", "Rational", "Float")
# Names that mean more than themselves in the Python that PyTorch makes of a graph. Lists in JSON are looked into.
UNSAFE = re.compile(r"[()\[\]{}\"'\\;=@#`\x00-\x1f\x7f\x85\u2028\u2029]")
# Written with repr, or kept as a comment.
FREE = frozenset(("metadata", "as_string", "as_strings", "expr_str", "torch_version", "doc_string"))
# Data structures that know no classes.
STRUCTURES = re.compile(r"builtins\.(tuple|list|dict)|collections\.OrderedDict|torch\.Size")
OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)\.\w+\.\w+"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond)"
    r"|torch\.sym_\w+|torch\._sym_sqrt|torch\.(float|int)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|pow|neg|pos|abs|eq|ne|ge|gt|le|lt|getitem|and_|or_|not_"
    r"|lshift|rshift|index)"
    r"|math\.(ceil|floor|trunc|sqrt|prod)"
)
# What reads, writes or runs, of the operators in the namespaces that are otherwise allowed.
HARMFUL = frozenset(("save", "load", "from_file", "from_file_out", "set_data"))
NAMESPACES = frozenset(("aten", "prim", "prims", "torchvision"))
HARMFUL_PRIMITIVES = frozenset(
    ("PythonOp", "Print", "rpc_async", "rpc_sync", "rpc_remote", "CallMethod", "CallFunction")
)

NO_FILE = "it is not a valid PyTorch file (possibly truncated): copy it again"
PROGRAM = (
    "it holds a pickle, and a pickle is a program that would run on your machine; "
    "save the model with torch.export.save(torch.export.export(model.eval(), (example,)), 'NAME.pt2')"
)
WRITES = "it would read or write files when it runs, so it was not opened"
AT_ONCE = "it would run code while it is opened: save it again with torch.export.save"
DISGUISED = "names in it contain executable code, so it was not opened"

# In TorchScript: what runs when a file is loaded, and the only shapes of what else stands outside of functions.
EARLY = re.compile(rb"__setstate__|__forward_(pre_)?hooks__\s*=\s*\[\s*[^\s\]]|[\t\r\f\v\0]")
FILES = re.compile(rb"\b(?:torch|aten)\s*\.\s*(?:save|load|from_file)\b|\bprim\s*\.\s*Print\b")
HEADER = re.compile(rb"\bdef\s+[\w.]+\s*\((?:[^()\"'#\\*]|\"[^\"()\\\n]*\"|'[^'()\\\n]*')*\)")
MEMBER = re.compile(rb"(?:[\w\s:.,=\[\]\"'+(){}/&<>-]|\"[^\"\\]*\")*")
# Texts and lists of numbers, whatever is in them; and how long a statement is without them, and how deep: PyTorch
# reads one from the inside out, and ends the process where its memory for that ends.
FLAT = re.compile(rb"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|\[[-+.,\s\de]*\]")
LONGEST_STATEMENT, DEEPEST = 20_000, 100


class TorchContent(NamedTuple):
    """Kind of a file of PyTorch's, told by its members.

    Attributes
    ----------
    kind : {"exported", "script", "pickle"}
        Of a pickle, weights alone are ever read.
    archive : BytesIO, optional
        A copy of just what was looked through; None of a pickle.
    """

    kind: Literal["exported", "script", "pickle"]
    archive: io.BytesIO | None = None


def check(path: Path) -> TorchContent:
    """Look through an exported graph or TorchScript; tell pickles, which PyTorch's own reader of weights checks.

    Raises
    ------
    ModelError
        If it is damaged, or would run a program.
    """
    try:
        return _check(path)
    except ModelError:
        raise
    except Exception as error:
        given = reason(error)[:200]
        raise ModelError(f"it is damaged, or of another version of PyTorch ({given})") from error


def _check(path: Path) -> TorchContent:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(1) != b"\x80":
                raise ModelError(NO_FILE)
        return TorchContent("pickle")
    check_sizes(path)
    with zipfile.ZipFile(path) as archive:
        names = [name.casefold() for name in archive.namelist()]
    if any(name.endswith((".so", ".o", ".cpp")) or "aotinductor/" in name for name in names):
        raise ModelError(
            "it holds compiled code that would run on your machine; save it with torch.export.save"
        )
    if any(name.endswith(("models/model.json", "serialized_exported_program.json")) for name in names):
        return TorchContent("exported", checked_graph(path))
    if any(name.endswith("constants.pkl") for name in names):
        return TorchContent("script", checked_script(path))
    return TorchContent("pickle")


def checked_graph(path: Path) -> io.BytesIO:
    """Copy an archive with exported graphs, all of which is harmless.

    Raises
    ------
    ModelError
        If PyTorch would run more than a graph.
    """
    parts = _parts(path)
    for name, content in parts.items():
        if any(part.startswith(("custom_obj", "opaque_obj")) for part in name.split("/")):
            raise ModelError(PROGRAM)
        if name.casefold().endswith(".json"):
            result = json.loads(content.decode("utf-8"))
            _check_json(result)
            if isinstance(result, dict) and "guards_code" in result:
                result["guards_code"] = []  # PyTorch executes it; the sizes say the same
            parts[name] = json.dumps(result).encode()
    return _archive(parts)


def checked_script(path: Path) -> io.BytesIO:
    """Copy a TorchScript archive, of which nothing runs before it has been looked through.

    Raises
    ------
    ModelError
        If some of it would run when it is loaded.
    """
    parts = _parts(path)
    for name, content in parts.items():
        if name.casefold().endswith(".py"):
            if FILES.search(content):
                raise ModelError(WRITES)
            if EARLY.search(content) or not _only_defines(content):
                raise ModelError(AT_ONCE)
            if not _is_readable(content):
                raise ModelError(
                    "it contains a statement longer or deeper than any that PyTorch writes: it is damaged"
                )
    return _archive(parts)


def check_operators(module: Any) -> None:  # noqa: ANN401 - a ScriptModule
    """Look through all functions of a loaded TorchScript module, none of which has been run.

    Raises
    ------
    ModelError
        If one of them has an operator that is not known to compute alone.
    """
    for part in module.modules():
        for name in part._c._method_names():
            for node in _nodes(part._c._get_method(name).inlined_graph):
                namespace, _, operator = node.kind().partition("::")
                harmful = HARMFUL_PRIMITIVES if namespace == "prim" else HARMFUL
                if namespace not in NAMESPACES or operator in harmful:
                    raise ModelError(WRITES if operator in HARMFUL else _unknown(node.kind()))


def _nodes(graph: Any) -> Iterator[Any]:  # noqa: ANN401 - a Graph or a Block
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _nodes(block)
        for name in node.attributeNames():
            if node.kindOf(name) == "g":
                yield from _nodes(node.g(name))
            elif node.kindOf(name) == "gs":
                for inner in node.gs(name):
                    yield from _nodes(inner)


def _unknown(operator: str) -> ModelError:
    return ModelError(
        f"it has the operator {operator[:80]}, which could read, write or run something on your machine: nothing "
        "of it was run; save the model without it"
    )


def _parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len({name.casefold() for name in names}) < len(names):
            raise ModelError("two members of the archive have the same name: save the model again")
        return {name: archive.read(name) for name in names if not name.endswith("/")}


def _archive(parts: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def _check_json(value: Any, key: str = "") -> None:  # noqa: ANN401 - whatever JSON holds
    """Refuse sizes, operators and names that are programs."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_text("", name)
            if name not in FREE or not isinstance(inner, (str, dict)) or name == "expr_str":
                _check_json(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _check_json(inner, key)
    elif isinstance(value, str):
        _check_text(key, value)


def _check_text(key: str, text: str) -> None:
    if key == "expr_str":
        if not _is_size(text):
            raise ModelError("sizes in it contain executable code, so it was not opened")
    elif key in ("target", "as_operator"):
        if not OPERATORS.fullmatch(text):
            raise _unknown(text)
        if set(text.split(".")) & HARMFUL:
            raise ModelError(WRITES)
    elif text.startswith(("custom_obj", "opaque_obj")) and key == "path_name":
        raise ModelError(PROGRAM)
    elif key not in FREE and key != "guards_code" and UNSAFE.search(text):
        _check_structure(text)


def _check_structure(text: str) -> None:
    """Refuse a text that is neither a name nor a list or dictionary of names, written as JSON."""
    try:
        result = json.loads(text)
    except ValueError:
        result = None
    if not isinstance(result, (list, dict)):
        raise ModelError(DISGUISED)
    for name in _structures(result):
        if not STRUCTURES.fullmatch(name):
            raise ModelError(f"its inputs or outputs are of the class {name[:80]}, which is not known here")
    _check_json(result)


def _structures(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "type" and inner is not None:
                yield str(inner)
            if key.startswith(("__", "default_factory")):  # names of modules to import
                yield key
            yield from _structures(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _structures(inner)


def _is_size(text: str) -> bool:
    """Return whether an expression is arithmetic alone: PyTorch evaluates it as Python, so it could be any program."""
    try:
        nodes = [*ast.walk(ast.parse(text.strip(), mode="eval"))]
    except SyntaxError:
        return False
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if not all(isinstance(call.func, ast.Name) and call.func.id in FUNCTIONS for call in calls):
        return False
    symbols = [n.args[0] for n in calls if n.args and isinstance(n.func, ast.Name) and n.func.id == "Symbol"]
    texts = [n for n in nodes if isinstance(n, ast.Constant) and not isinstance(n.value, (int, float))]
    named = all(node in symbols and str(node.value).isidentifier() for node in texts)
    return named and all(isinstance(node, ARITHMETIC) for node in nodes) and _is_short(nodes, calls)


def _is_short(nodes: list[ast.AST], calls: list[ast.Call]) -> bool:
    """Return whether an expression is worked out at once: powers of powers would take PyTorch hours."""
    if len(nodes) > MOST_PARTS or any(len(call.args) > MOST_ARGUMENTS for call in calls):
        return False
    powers = [call.args[1] for call in calls if "Pow" in ast.unparse(call.func) and len(call.args) > 1]
    powers += [n.right for n in nodes if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Pow | ast.LShift)]
    parts = [part for power in powers for part in ast.walk(power)]
    if any(isinstance(part, ast.BinOp) or getattr(part, "id", "Integer") not in NUMBERS for part in parts):
        return False
    numbers = [abs(float(ast.unparse(part))) for part in parts if isinstance(part, ast.Constant)]
    return prod(max(number, 1) for number in numbers) <= MOST_POWER


def _only_defines(code: bytes) -> bool:
    """Return whether nothing is called outside of functions: PyTorch computes defaults and constants on loading."""
    if len(re.findall(rb"\bdef\b", code)) != len(HEADER.findall(code)):
        return False
    members: int | None = None
    viewed_layer = header = False
    for line in HEADER.sub(b"def", code).split(b"\n"):
        indent = len(line) - len(line.lstrip(b" "))
        if not line.strip():
            continue
        if not indent:
            viewed_layer, members, header = line.startswith(b"class "), None, line.startswith(b"def")
            if not (viewed_layer or header) or (
                viewed_layer and not re.fullmatch(rb"class [\w.]+(\([\w.]*\))?:\s*", line)
            ):
                return False
        elif viewed_layer:
            members = indent if members is None else members
            if indent <= members:
                header = line.strip().startswith(b"def")
                if not header and not _is_member(line):
                    return False
            elif not header:
                return False
        if not header and not viewed_layer:
            return False
    return True


def _is_readable(code: bytes) -> bool:
    """Return whether no statement is so long or deep that PyTorch's recursive parser would end the process."""
    code, start, depth = FLAT.sub(b"''", code), 0, 0
    for mark in re.finditer(rb"[\n()\[\]{}]", code):
        if depth > DEEPEST or mark.end() - start > LONGEST_STATEMENT:
            return False
        if mark[0] != b"\n":
            depth += 1 if mark[0] in b"([{" else -1
        elif depth <= 0:
            start = mark.end()
    return len(code) - start <= LONGEST_STATEMENT


def _is_member(line: bytes) -> bool:
    """Return whether a line in a class is whole and calls nothing."""
    whole = all(line.count(a) == line.count(b) for a, b in ((b"(", b")"), (b"[", b"]"), (b"{", b"}")))
    return whole and bool(MEMBER.fullmatch(line)) and not re.search(rb"[\w\])\"']\s*\(", line)
