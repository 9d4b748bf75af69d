"""The sentences that a user reads have a common form, wherever they stand.

They are collected from the source: messages of errors, `Problem`s and `Reading`s, texts of widgets, and constants.
Values that are filled in stand as ``{}``. What a sentence says is not tested here: each module's own tests look for
what it must name, which is the value, the file, the way out.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "napari_saliency"

AT_LEAST = {
    **{"core": 15, "maps": 2, "images": 8, "models": 120, "methods": 10, "checks": 3, "api": 10},
    **{"session": 10, "viewer": 10, "widgets": 70},
}
"""Sentences of each room that has more than one or two; fewer mean that they are no longer found."""

LABEL = 40  # characters, at most, of what need not be a sentence
LONGEST = 400  # characters, the filled in values not counted: more is not read
INTERFACE = ("viewer", "widgets")  # whose constants are texts
SHOWN_BY = {
    "setToolTip", "setText", "setPlaceholderText", "setWindowTitle", "set_text", "warn",
    "QLabel", "QPushButton", "QCheckBox", "Reading",
}  # fmt: skip


class Sentence(NamedTuple):
    room: str
    place: str  # module:line
    kind: str  # error, problem, text, or part of one of them
    text: str
    uncut: tuple[str, ...] = ()  # expressions that are quoted (!r) at their full length


def strings(node: ast.expr) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every string that an expression can be, with the values that it quotes uncut."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, ()
    elif isinstance(node, ast.JoinedStr):
        text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        quoted = [
            part.value
            for part in node.values
            if isinstance(part, ast.FormattedValue) and part.conversion == ord("r")
        ]
        yield text, tuple(ast.unparse(value) for value in quoted if not is_cut(value))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for left, uncut in strings(node.left):
            for right, more in strings(node.right):
                yield left + right, uncut + more
    elif isinstance(node, ast.IfExp):
        yield from (*strings(node.body), *strings(node.orelse))
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from strings(value)
    elif isinstance(node, ast.Tuple | ast.List):
        for value in node.elts:
            yield from strings(value)


def is_cut(value: ast.expr) -> bool:
    """A slice; `quote` cuts as well, and needs no ``!r``."""
    return isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice)


def called(node: ast.Call) -> str:
    """The name of what is called, `Problem.of` by that of its class."""
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr == "of":
        function = function.value
    return getattr(function, "attr", getattr(function, "id", ""))


def collected(room: str, module: str, source: str) -> Iterator[Sentence]:
    """All sentences of a module."""
    tree = ast.parse(source)

    def of(kind: str, line: int, *nodes: ast.expr) -> Iterator[Sentence]:
        for node in nodes:
            for text, uncut in strings(node):
                if text:
                    yield Sentence(room, f"{module}:{line}", kind, text, uncut)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node).endswith("Error"):
            message = 1 if called(node) == "SettingError" else 0  # its first argument is the setting's name
            yield from of("error", node.lineno, *node.args[message : message + 1])
        elif isinstance(node, ast.Call) and called(node) == "Problem":
            yield from of("problem", node.lineno, *node.args[:1])
        elif isinstance(node, ast.Call) and called(node) in SHOWN_BY and room in INTERFACE:
            more = (keyword.value for keyword in node.keywords if keyword.arg == "tooltip")
            yield from of("text", node.lineno, *node.args, *more)
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            kind, fits = ("text", is_prose) if room in INTERFACE else ("part", is_several_words)
            yield from (s for s in of(kind, node.lineno, node.value) if fits(s.text))


def is_prose(text: str) -> bool:
    """A constant for people: several words that begin with a capital letter or a value. Others are names and keys."""
    return " " in plain(text) and (plain(text)[:1].isupper() or plain(text)[:1] in "{“")


def is_several_words(text: str) -> bool:
    """A constant of the other rooms that ends up in a message, as a whole or as a part of it; no pattern."""
    return text.count(" ") > 2 and "\\" not in text


def plain(text: str) -> str:
    """Leave out the marks of rich text."""
    return re.sub(r"<[^>]*>", "", re.sub(r"<(/p|br)>", "\n", text)).strip()


def has_no_riddle(sentence: Sentence) -> bool:
    """*Is no map* for *is not a map* is a riddle; *there is no map* and *is no longer* are English."""
    return not re.search(r"(?<!there )\b(is|are|was|were|be) no\b(?! (longer|more)\b)", sentence.text, re.I)


def is_spaced(sentence: Sentence) -> bool:
    text = sentence.text.strip() if sentence.kind == "part" else sentence.text
    return text == text.strip() and not re.search(r"  | [,.;!?](\s|$)|\.\.\.", text)


def is_ended(sentence: Sentence) -> bool:
    """A sentence of the interface ends with a mark, or is a label; what is filled in may bring its own end."""
    parts = [part for part in plain(sentence.text).split("\n") if part.strip()]
    return sentence.kind != "text" or all(
        len(part) <= LABEL or part.rstrip().endswith((".", "?", "!", ":", "…", "{}")) for part in parts[-1:]
    )


def begins_well(sentence: Sentence) -> bool:
    """With a capital letter, a quotation or a value; errors may go on after the name of a file or an option."""
    first = plain(sentence.text)[:1]
    return sentence.kind in ("error", "part") or len(plain(sentence.text)) <= LABEL or not first.islower()


def is_short(sentence: Sentence) -> bool:
    return len(plain(sentence.text).replace("{}", "")) <= LONGEST and "\t" not in sentence.text


def quotes_are_cut(sentence: Sentence) -> bool:
    """Whatever a file or a user holds can be of any length; a message is read on one screen."""
    return not sentence.uncut and "!r}" not in sentence.text


RULES: tuple[Callable[[Sentence], bool], ...] = (
    *(has_no_riddle, is_spaced, is_ended, begins_well, is_short, quotes_are_cut),
)


def all_sentences() -> list[Sentence]:
    result = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if len(parts) > 1:
            result += collected(parts[0], ".".join(parts), path.read_text("utf-8"))
    return result


SENTENCES = all_sentences()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_sentences_keep_the_rules(rule):
    assert [f"{s.place} {s.text}" for s in SENTENCES if not rule(s)] == []


@pytest.mark.parametrize("room", AT_LEAST)
def test_sentences_of_each_room_are_found(room):
    assert sum(sentence.room == room for sentence in SENTENCES) >= AT_LEAST[room]


MODULE = """
HELP = {"size": "Width of the input."}
KEY, _PATTERN = "saliency", re.compile("[A-Z] .*")
SUM = "<p>The sum of {}.</p><p>Type one</p>"
def f(name):
    label.setToolTip("Drop a file" if name else "Open a file")
    emit(Problem("There is no model: choose one."), Problem.of(f"{name} does not open", error))
    if name:
        raise ValueError(f"{name!r} is wrong: give {name[:60]!r}")
"""


def test_sentences_are_found_wherever_they_stand():
    found = {(s.kind, s.text) for s in collected("widgets", "widgets.x", MODULE)}
    assert found == {
        ("text", "Width of the input."),
        ("text", "<p>The sum of {}.</p><p>Type one</p>"),
        ("text", "Drop a file"),
        ("text", "Open a file"),
        ("problem", "There is no model: choose one."),
        ("problem", "{} does not open"),
        ("error", "{} is wrong: give {}"),
    }
    (error,) = (s for s in collected("models", "models.x", MODULE) if s.kind == "error")
    assert error.uncut == ("name",)
    parts = {s.text for s in collected("models", "models.x", MODULE) if s.kind == "part"}
    assert parts == {"Width of the input.", "<p>The sum of {}.</p><p>Type one</p>"}


@pytest.mark.parametrize(
    ("rule", "kind", "good", "bad"),
    [
        (has_no_riddle, "error", "There is no map: it is no longer shown", "{} is no picture"),
        (is_spaced, "text", "Give two numbers.", "Give two numbers. "),
        (is_spaced, "text", "Give two numbers.", "Give  two numbers."),
        (is_spaced, "error", "give two: {}, {}", "give two : {} , {}"),
        (is_ended, "text", "Open a file", "Open a file that holds a model of yours with all its weights"),
        (is_ended, "text", "<p>One.</p><p>Two.</p>", "<p>One.</p><p>Two " + 9 * "words " + "</p>"),
        (begins_well, "text", "“{}” is empty: choose another layer.", "it is empty: choose another layer of those."),
        (is_short, "error", "x" * LONGEST + "{}", "x" * LONGEST + "y"),
    ],
)  # fmt: skip
def test_each_rule_can_be_broken(rule, kind, good, bad):
    assert rule(Sentence("core", "core.x:1", kind, good))
    assert not rule(Sentence("core", "core.x:1", kind, bad))


def test_a_quotation_of_any_length_is_found():
    assert quotes_are_cut(Sentence("core", "core.x:1", "error", "{} is wrong"))
    assert not quotes_are_cut(Sentence("core", "core.x:1", "error", "{} is wrong", ("name",)))
    assert not quotes_are_cut(Sentence("core", "core.x:1", "part", "{!r} is wrong"))
