"""Training one student: `train`. What happens in a step is in loop.py.

    summary = train(spec="scratch:gpt2-tiny", start=None, examples=Path("examples/student.jsonl"), validation=None,
                    settings=Train(steps=750), objectives={"target": 1.0}, seed=0,
                    out=Path("students/student"), log=Path("training/student.jsonl"), progress=None, should_stop=None)

A row of the log, without a clock: {"step": 250, "loss": 0.41, "loss/target": 0.41, "learning_rate": 0.0004,
"valid_loss": 0.5}. The losses are means over the steps since the row before. A killed training is continued by the same
call, and ends with the same bytes. Checkpoints lie in `<out>.checkpoints` until the student is saved.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from understudy import jsonl
from understudy.config import Train
from understudy.errors import DataError, StudentError, explain_os_errors
from understudy.procedures import derive_seed
from understudy.records import Example
from understudy.students import batches, encoding, heads, loading, scratch
from understudy.students.batches import Rows
from understudy.students.checkpoints import Checkpoints, Progress, checksums
from understudy.students.loop import ProgressCall, StudentTrainer


@dataclass(frozen=True, slots=True)
class TrainSummary:
    """What a training did.

    Attributes:
        steps: optimiser steps in all, including those before a kill.
        parameters: numbers in the model.
        examples: rows it was trained on.
        dropped: rows that were too long.
        tokens_per_step: of prompts and targets, mean over the optimiser steps, padding aside.
        targets_per_step: of these the tokens to learn, by objective: what a second task costs.
        best_step: the step whose weights were saved.
        best_valid_loss: its validation loss; None without validation rows.
        seconds: of this call.
        preview: the first batch as text.
    """

    steps: int
    parameters: int
    examples: int
    dropped: int
    tokens_per_step: float
    targets_per_step: Mapping[str, float]
    best_step: int
    best_valid_loss: float | None
    seconds: float
    preview: str


def train(
    *,
    spec: str,
    start: Path | None,
    examples: Path,
    validation: Path | None,
    settings: Train,
    objectives: Mapping[str, float],
    head: Literal["lm", "value"] = "lm",
    seed: int,
    out: Path,
    log: Path,
    progress: ProgressCall | None = None,
    say: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainSummary:
    """Train a student and save it in `out`, whole or not at all.

    Args:
        spec: where an untrained student comes from: `scratch:NAME`, a folder or a hub id.
        start: the folder of an earlier student to go on from instead.
        examples: file of the `Example`s to train on.
        validation: file of the `Example`s that choose the best weights; without any, the last are saved.
        settings: the configuration's `train` table.
        objectives: weight of each term of the loss.
        head: `value` trains a value head, too (`heads.py`).
        seed: all randomness follows from it.
        out: the student's folder.
        log: the log; see above.
        progress: told about every row of the log.
        say: given the first batch as text before the first step, and where a killed training goes on.
        should_stop: asked after every step.

    Raises:
        StudentError, DataError: the student or an example cannot be used, or the loss is not finite; says what to do.
        TrainingStopped: `should_stop` returned true.
    """
    begin = time.monotonic()
    weights = _weights(objectives)
    loaded = loading.load(str(start or spec), texts=_texts(examples), seed=derive_seed(seed, "weights"))
    if head == "value":
        heads.attach(loaded.model)
    else:
        heads.detach(loaded.model)
    loaded.encoding = replace(
        loaded.encoding, max_prompt_tokens=settings.max_prompt_tokens, max_target_tokens=settings.max_target_tokens
    )
    with loading.quiet():
        rows = _rows(examples, loaded, weights, settings)
        valid = _rows(validation, loaded, weights, settings) if validation else Rows(tuple(weights))
    _require_something_to_learn(rows, examples, weights, head)
    inputs = [path for path in (examples, validation, start, Path(spec)) if path and path.exists()]
    kept = Checkpoints(
        out.with_name(out.name + ".checkpoints"), _fingerprint(spec, settings, weights, head, seed, inputs)
    )
    with loading.quiet(), explain_os_errors("training a student"):
        trainer = StudentTrainer(loaded, rows, valid, weights, settings, seed, kept, log, progress, should_stop)
        shown = trainer.preview()
        if say is not None and trainer.args.should_save:
            at = kept.last()
            say(f"going on from step {at.step} of {settings.steps}" if at else shown)
        done = trainer.run()
        if trainer.args.should_save:
            loading.save(loaded, out, _card(spec, rows, weights, settings, done, loaded))
            kept.remove()
        trainer.accelerator.wait_for_everyone()
    tokens, targets = batches.tokens_per_step(rows, settings.batch_size, seed, settings.steps)
    return TrainSummary(
        steps=settings.steps,
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        examples=len(rows),
        dropped=rows.dropped,
        tokens_per_step=tokens,
        targets_per_step=targets,
        best_step=done.best_step or done.step,
        best_valid_loss=done.best_loss if done.best_step else None,
        seconds=time.monotonic() - begin,
        preview=shown,
    )


def _require_something_to_learn(rows: Rows, examples: Path, weights: Mapping[str, float], head: str) -> None:
    counts = rows.counts(range(len(rows)))
    if not any(count * weight for count, weight in zip(counts, weights.values(), strict=True)):
        raise StudentError(f"{examples} has no example with a weight to train on ({rows.dropped} dropped as too long)")
    if head == "lm" and rows.valued:
        raise StudentError(
            f"{examples} has examples with a value, and their student has no value head to learn it: the method builds "
            'them for a role without head="value"'
        )


def _weights(objectives: Mapping[str, float]) -> dict[str, float]:
    for name, weight in objectives.items():
        if not 0 <= weight < math.inf:
            raise StudentError(
                f"the objective {name!r} has the weight {weight}, expected a number from 0: change the method's options"
            )
    if not any(objectives.values()):
        raise StudentError(
            f"the objectives are {dict(objectives)}, expected at least one weight above 0: change the method's options"
        )
    return dict(objectives)


def _examples(path: Path) -> Iterator[Example]:
    for number, row in jsonl.read_numbered(path):
        try:
            yield Example.from_json(row)
        except TypeError as error:
            raise DataError(
                f"not an example ({error}). The stage build writes them: run it again", path, number
            ) from None


def _texts(path: Path) -> Iterator[str]:
    for example in _examples(path):
        yield example.prompt
        yield example.target


def _rows(path: Path, loaded: loading.Loaded, weights: Mapping[str, float], settings: Train) -> Rows:
    encoded = encoding.encode(_examples(path), loaded.encoder(), weights, settings.too_long)
    return batches.collect(encoded, weights)


def _fingerprint(
    spec: str, settings: Train, weights: Mapping[str, float], head: str, seed: int, inputs: Sequence[Path]
) -> str:
    """Of all that the weights follow from; the versions, because another one rounds differently."""
    versions = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    told = [spec, settings.model_dump(mode="json"), dict(weights), head, seed, versions, checksums(inputs)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _card(
    spec: str,
    rows: Rows,
    weights: Mapping[str, float],
    settings: Train,
    done: Progress,
    loaded: loading.Loaded,
) -> str:
    task = "text-generation" if loaded.encoding.architecture == "decoder" else "text2text-generation"
    base = "" if spec.startswith(scratch.PREFIX) or Path(spec).exists() else f"base_model: {spec}\n"
    measured = f", validation loss {done.best_loss:.4g}" if done.best_step else ""
    terms = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    valued = heads.head_of(loaded.model) is not None
    learned = "to write the targets of" + (", or to say a value at every token of the targets of," if valued else "")
    call = '[[completion]] = student.complete([Ask("student", "a question of the task")])'
    if valued:
        call = '[[value]] = student.score([Score("student", "a question of the task", ("a solution of it",))])'
    return f"""---
library_name: transformers
pipeline_tag: {task}
{base}tags:
- understudy
---

# A student

Trained by understudy from `{spec}` {learned} {len(rows)} examples (objectives: {terms}).
The weights are those of step {done.best_step or done.step} of {settings.steps}{measured}.

It has learned one narrow task from another model's texts and should be asked nothing else.

```python
from understudy.procedures import {"Score" if valued else "Ask"}
from understudy.students.student import Student

student = Student.load("path/to/this/folder")
{call}
```
"""
