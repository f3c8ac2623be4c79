"""The format `program`: Python whose value is the answer (PAL, Gao et al. 2022; PaD, Zhu et al. 2023).

    Q: Mia has 12 pens and buys 5 more. How many pens does she have?
    # solution in Python:
    def solution():
        pens = 12
        result = pens + 5
        return result

The value is what `solution()` returns, or the variable that holds the answer in a straight-line program (see
`sandbox`). Reading runs the program in the sandbox; which text is the program is decided by lines alone, nothing is
parsed here.
"""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass

from understudy.formats.format import Format, Reading, answer_form, cut_run_on, unanswered, unreadable
from understudy.procedures import Execute
from understudy.records import Completion, Fault, Question, Rationale
from understudy.sandbox import Outcome
from understudy.tasks.task import Task

HEAD = "# solution in Python:"
_FENCE = re.compile(r"^```[^\n]*\n(.*?)(?:^```|\Z)", re.MULTILINE | re.DOTALL)
_CODE_STARTS = re.compile(r"^(?:def |import |from |class |@|#|[A-Za-z_][\w, ]*=(?!=))", re.MULTILINE)
_INDENTED_OR_CODE = re.compile(
    r"^(?:\s|$|def |import |from |class |@|#|if |elif |else|for |while |try|except|finally|with |return|print\(|[)\]}]"
    r"|[A-Za-z_][\w.\[\], '\"]*(?:[-+*/%]|//|\*\*)?=(?!=))"
)
_ERROR_SLUGS = {
    "SyntaxError": "syntax_error",
    "IndentationError": "syntax_error",
    "NameError": "name_error",
    "UnboundLocalError": "name_error",
    "NoAnswer": "no_answer",
}


@dataclass(frozen=True, slots=True)
class Program(Format):
    """A Python program whose value is the answer."""

    name = "program"
    cue = f"{HEAD}\n"
    gap = ""

    def instructions(self, task: Task, question: Question) -> str:
        form = "a number" if task.answer_kind.name == "expression" else answer_form(task, question)
        return (
            "Write a Python function solution() that takes no arguments, works the answer out step by step and returns it: "
            f"{form}. Write the code alone, without any text around it."
        )

    def read(self, task: Task, question: Question, completion: Completion) -> Reading:
        fault = unanswered(completion)
        if fault:
            return fault
        text = cut_run_on(task, completion.text)
        program = find_program(text)
        if not program:
            return unreadable(text, completion, "no_program")
        [outcome] = yield [Execute(program)]
        cut = completion.finish == "length" and completion.text.rstrip().endswith(program)
        if outcome.status != "ok":
            return _fault(outcome, cut)
        answer = task.answer_kind.from_value(outcome.value, question.choices)
        shown = repr(outcome.value)[:200]
        if answer is None:
            unfinished = cut and outcome.value is None
            return Fault("truncated" if unfinished else "not_an_answer", f"the program returns {shown}")
        return Rationale(program, answer, {"value": shown})

    def write(self, task: Task, rationale: Rationale) -> str:
        return rationale.text


def ran(found: Rationale | Fault) -> str:
    """Whether a program that was read ran: `ok`, or the slug of what stopped it."""
    return "ok" if isinstance(found, Rationale) or found.slug == "not_an_answer" else found.slug


def find_program(text: str) -> str:
    """The program in a model's text: out of its fence, without the prose before and after it; "" if there is none."""
    fenced = _FENCE.search(text)
    if fenced:
        return fenced.group(1).strip("\n").rstrip()
    start = _CODE_STARTS.search(text)
    if not start:
        return ""
    lines = text[start.start() :].split("\n")
    end = len(lines)
    after_blank = False
    for number, line in enumerate(lines):
        if after_blank and not _INDENTED_OR_CODE.match(line):  # prose after the code
            end = number
            break
        after_blank = not line.strip()
    return "\n".join(lines[:end]).rstrip()


def strip(program: str, docstring: bool = False, comments: bool = False) -> str:
    """`program` without its docstrings and / or comments; lines that are left empty go too.

    A text that cannot be cut into Python tokens is returned as it is.
    """
    try:
        tokens = [t for t in tokenize.generate_tokens(io.StringIO(program).readline) if t.type != tokenize.NL]
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return program
    cuts = [(t.start, t.end) for t in tokens if t.type == tokenize.COMMENT and comments]
    code = [t for t in tokens if t.type != tokenize.COMMENT]
    for before, token, after in zip(code, code[1:], code[2:], strict=False):
        alone = before.type == tokenize.INDENT and after.type == tokenize.NEWLINE
        if token.type == tokenize.STRING and alone and docstring:
            cuts.append((token.start, token.end))
    lines = program.split("\n")
    emptied: set[int] = set()
    for (row, column), (end_row, end_column) in sorted(cuts, reverse=True):
        lines[row - 1 : end_row] = [
            lines[row - 1][:column].rstrip() + lines[end_row - 1][end_column:],
            *[""] * (end_row - row),
        ]
        emptied.update(range(row - 1, end_row))
    return "\n".join(line for number, line in enumerate(lines) if line.strip() or number not in emptied)


def _fault(outcome: Outcome, cut: bool) -> Fault:
    """The fault of a program that has no value; `cut` says that the token limit ended its text."""
    if outcome.status != "error":
        return Fault(outcome.status, outcome.error[:200])
    slug = _ERROR_SLUGS.get(outcome.error.partition(":")[0], "run_error")
    if cut and slug in ("syntax_error", "no_answer"):
        slug = "truncated"
    return Fault(slug, outcome.error[:200])
