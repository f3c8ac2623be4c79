"""draft: let the teacher write first versions of worked examples, for a person to correct.

    {"id": "train-0", "question": "Mia has ...", "answer": "17", "cot": "12 + 5 = 17.", "agrees": true}
    {"id": "train-1", ..., "answer": "4", "cot": "9 - 4 = 5.", "agrees": false, "fault": "wrong_answer: read 5"}

It is no step of the plan. The file is what `task.demonstrations_path` reads, for every task; a row whose fault is not
mended and deleted is refused there. What the teacher wrote is kept under `drafts/` in the run's directory, so nothing
is asked twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from understudy import jsonl
from understudy.errors import ConfigError, DataError, RunError, explain_os_errors
from understudy.formats import FORMATS, Format
from understudy.methods import Source
from understudy.procedures import Driver
from understudy.records import Completion, Fault, Question, Rationale
from understudy.rundir import RunDir
from understudy.stages.filtering import overlap
from understudy.stages.generation import generate
from understudy.stages.run import Run


def draft(run: Run, path: Path, count: int = 8, formats: Sequence[str] = (), force: bool = False) -> Counter[str]:
    """Write drafts of worked examples for the first `count` training questions to `path`.

    Args:
        run: its teacher is asked, with the worked examples that there are.
        path: the file, one row for a question and a format.
        count: how many questions.
        formats: names of formats; by default those in which the method has the teacher write reasoning.
        force: whether a file that is there is overwritten.

    Returns:
        How many drafts there are of each fault; those without one under "".

    Raises:
        RunError: the file is there already.
        ConfigError: the method has the teacher write no reasoning, and no format is given.
        DataError: there is no training question.
    """
    if path.exists() and not force:
        raise RunError(
            f"{path} exists already, perhaps corrected by hand; nothing was asked. Another: --out; or --force"
        )
    config = run.config.model_copy(update={"limit": count, "fraction": 1.0})
    apart = replace(run, config=config, dir=RunDir(run.dir.root / "drafts"))
    rows: list[jsonl.Row] = []
    with explain_os_errors(f"working in {apart.dir.root}"), apart.dir.locked():
        tested = overlap(run)
        for format in _formats(run, formats):
            rows += _drafts(apart, Source(format.name, format, splits=("train",), samples=1), tested)
    if not rows:
        raise DataError(f"the training split of task {run.task.name!r} is empty: there is nothing to draft")
    jsonl.write(path, rows)
    return Counter(row.get("fault", "").partition(":")[0] for row in rows)


def _formats(run: Run, names: Sequence[str]) -> list[Format]:
    if names:
        return [FORMATS[name]() for name in dict.fromkeys(names)]
    sources = [source for role in run.method.roles() for source in role.sources if source.by == "teacher"]
    found = {source.format.name: source.format for source in sources if source.format.name != "label"}
    if not found:
        raise ConfigError(
            [
                f"the method {run.method.name!r} trains on no reasoning of the teacher. Say what to draft, e.g. --format cot"
            ]
        )
    return list(found.values())


def _drafts(run: Run, source: Source, tested: set[str]) -> Iterator[jsonl.Row]:
    """Ask, read and grade: a row for every question."""
    generate(run, source)
    written = [_completion(row) for row in jsonl.read(run.dir.completions(source.name))]
    asked = list(zip(run.asked(source), written, strict=True))
    with run.sandbox() as sandbox:
        driver = Driver({}, sandbox.run)
        found = driver.run((question.id, source.format.read(run.task, question, one)) for question, one in asked)
    for (question, completion), reading in zip(asked, found, strict=True):
        yield _row(run, source.format, question, completion, reading, question.id in tested)


def _completion(row: jsonl.Row) -> Completion:
    return Completion.from_json({k: v for k, v in row.items() if k not in ("question", "sample", "request")})


def _row(
    run: Run, format: Format, question: Question, completion: Completion, found: Rationale | Fault, is_test: bool
) -> jsonl.Row:
    """The row of a draft; an unlabelled question has the teacher's own answer, for the person to check."""
    answer = found.answer if isinstance(found, Rationale) else None
    agrees = None if answer is None or question.answer is None else run.grade(answer, question)
    fault = found if isinstance(found, Fault) else None
    if is_test:
        fault = Fault("overlap", "the question is also in a test split; delete the line")
    elif fault is None and answer is None:
        fault = Fault("no_answer")
    elif agrees is False:
        fault = Fault("wrong_answer", f"read {answer}")
    return {
        "id": question.id,
        "question": question.text,
        **({"choices": list(question.choices)} if question.choices else {}),
        "answer": answer if question.answer is None else question.answer,
        format.name: completion.text if isinstance(found, Fault) else found.text,
        "agrees": agrees,
        **({"fault": f"{fault.slug}: {fault.evidence}".removesuffix(": ")} if fault else {}),
    }
