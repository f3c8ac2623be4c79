"""What the first rows of the user's file say of it: which column is what, and of which kind the answers are.

    {"prompt": "What is 6 * 7?", "gold": 42}    # -> question = "prompt", answer = "gold", answers are numbers

A guess is a start, not a verdict: it is shown, it stands in the manifest, and whatever is declared is not guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from understudy.answers import kind
from understudy.errors import DataError

ROWS = 1000
"""How many rows of a file a guess looks at."""
SYNONYMS = {
    "id": ("uid", "idx", "uuid"),
    "question": ("prompt", "input", "problem", "text", "query"),
    "answer": ("label", "gold", "target", "output"),
    "choices": ("options",),
}
"""Other names of the columns. Not `solution`: it often holds the way to the answer, not the answer."""
MAX_LABELS, MAX_LABEL, REPEATS = 20, 40, 5
"""Labels are at most so many different texts, so long, that stand there so often on average."""

_NUMBER = re.compile(r"[-+−$€£¥₹\s]*[0-9.,]+(?:[eE][-+]?[0-9]+)?(?:\s?/\s?[0-9]+|\s?%)?")
_ARITHMETIC = re.compile(r"[-+*/×÷−().,0-9\s]+")
_OPERATION = re.compile(r"[+*/×÷()]|\s[-−]\s")


def guess_column(role: str, columns: Sequence[str], file: Path) -> str | None:
    """The column that holds the `id`, `question`, `answer` or `choices`; None if none is named like it.

    Raises:
        DataError: several may be meant.
    """
    if role in columns:
        return role
    for names in ((role,), SYNONYMS[role]):
        found = [column for column in columns if column.casefold().strip() in names]
        if len(found) > 1:
            listed = ", ".join(map(repr, found))
            raise DataError(f"the {role} may stand in {listed}. Say which: task.columns.{role}=NAME", file)
        if found:
            return found[0]
    return None


def guess_kind(answers: Iterable[object], with_choices: bool) -> tuple[str, tuple[str, ...]]:
    """The kind of these answers, and, of labels, the closed set."""
    texts = Counter(str(answer).strip() for answer in answers)
    if with_choices:
        return "choice", ()
    if not texts:
        return "text", ()
    if all(text.casefold() in ("yes", "no", "true", "false") for text in texts):
        return "yes_no", ()
    if all(map(_is_number, texts)):
        return "number", ()
    if all(_is_number(text) or _is_expression(text) for text in texts):
        return "expression", ()
    labels = sorted({text.casefold(): text for text in sorted(texts)}.values())
    repeated = 1 < len(labels) <= MAX_LABELS and texts.total() >= REPEATS * len(labels)
    return ("label", tuple(labels)) if repeated and max(map(len, labels)) <= MAX_LABEL else ("text", ())


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and kind("number").read(text) is not None


def _is_expression(text: str) -> bool:
    plain = _ARITHMETIC.fullmatch(text) and _OPERATION.search(text)
    return plain is not None and kind("expression").read(text) is not None
