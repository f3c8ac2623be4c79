"""Training questions that are also test questions: what a run must not learn from, and must report.

Two questions are the same if their texts are equal after `normalise`: letter case, punctuation and blanks aside. This
finds copies, not paraphrases: a question reworded, or with other numbers, is another question.

    train "Tom has 3 apples."   test "tom has 3 apples"   -> the training question's id
    train "Tom has 4 apples."   test "tom has 3 apples"   -> nothing
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from understudy.records import Question

_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_MARK = re.compile(r"[^\w\s]|_")
_BLANK = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
_BRACKET_BESIDE_OPERATOR = re.compile(r"[-+*/%^]\s*[(\[]|[)\]]\s*[-+*/%^]")


def normalise(text: str) -> str:
    """`text` in one letter case, without punctuation and blanks: a key to compare by, not a text to show.

    Blanks go because published copies of a question are tokenised in their own way (`did n't`). What changes the
    meaning of a sum stays: the blank between two numbers, decimal points, `+ * / %`, a minus before a number, symbols
    such as `$`, and the brackets of a text that calculates with them. A text of punctuation alone stays as it is.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-").strip()
    calculates = _BRACKET_BESIDE_OPERATOR.search(text) is not None
    words = _MARK.sub(lambda mark: mark[0] if _means(mark, calculates) else " ", _GROUPED.sub("", text))
    return _BLANK.sub("", words) or text


def _means(mark: re.Match[str], calculates: bool) -> bool:
    char, text = mark[0], mark.string
    following = text[mark.end() : mark.end() + 8].lstrip()[:1]
    if char == ".":
        return text[mark.start() - 1 : mark.start()].isdigit() and text[mark.end() : mark.end() + 1].isdigit()
    if char == "-":
        return following.isdigit() or following == "("
    if char in "()[]":
        return calculates
    # categories P are punctuation; others are symbols, and the vowel signs that belong to the letters of many scripts
    return char in "*/%" or unicodedata.category(char)[0] != "P"


def overlapping(train: Iterable[Question], test: Iterable[Question]) -> set[str]:
    """Ids of the training questions whose normalised text is that of a test question.

    Both are streamed: the memory is 16 bytes and the set's own cost for every test question, and the ids found.
    """
    seen = {_digest(question.text) for question in test}
    return {question.id for question in train if _digest(question.text) in seen}


def _digest(text: str) -> bytes:
    return hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()
