"""Self-consistency (Wang et al. 2022, arXiv 2203.11171): several sampled answers vote, for every method and for the teacher.

    evaluate = { votes = 10, temperature = 0.7 }
    evidence {"votes": {"17": 6, "7": 2}, "agreement": 0.6, ...}      # ten samples, two of them unreadable

It trains nothing, so it is no method but a setting of the evaluation: the procedure of any method, run several times at a
temperature, side by side. Chains, labels and programs vote by what they answer: numbers and expressions by value, the
others as the task's kind of answer compares them. The first of equals wins; a sample without an answer does not vote.

`agreement` is the share of all samples that gave the answer; the paper calls it consistency and finds that it goes with
accuracy. Answering only above some agreement is what the curve `coverage` in `metrics.json` shows.

What differs from the original: no top-k at sampling, temperature alone; the plain majority only, no weighted sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from understudy.procedures import Procedure, together
from understudy.records import Prediction
from understudy.tasks.task import Task

_LISTED = ("finish", "completion_tokens", "status")
"""The evidence that tells of every completion or program, and so is gathered from all samples."""


def vote(task: Task, answers: Sequence[Procedure[Prediction]]) -> Procedure[Prediction]:
    """The answer that most of `answers`, procedures of one question, end in."""
    return elected(task, (yield from together(answers)))


def elected(task: Task, samples: Sequence[Prediction]) -> Prediction:
    """The prediction with the answer of most samples; without any answer, with the commonest fault."""
    votes: dict[str, int] = {}
    for sample in samples:
        if (answer := sample.answer) is not None:
            known = next((other for other in votes if task.answer_kind.same(answer, other)), answer)
            votes[known] = votes.get(known, 0) + 1
    texts = tuple(text for sample in samples for text in sample.texts)
    evidence = gathered(samples)
    if votes:
        winner = max(votes, key=votes.__getitem__)
        return Prediction(winner, texts, "", {**evidence, "votes": votes, "agreement": votes[winner] / len(samples)})
    [(fault, _)] = Counter(sample.fault for sample in samples).most_common(1)
    lenient = next((s.evidence["lenient"] for s in samples if "lenient" in s.evidence), None)
    return Prediction(
        None, texts, fault, {**evidence, **({"lenient": lenient} if lenient else {}), "votes": {}, "agreement": 0.0}
    )


def gathered(samples: Sequence[Prediction]) -> dict[str, list[Any]]:
    """What the evidence of all samples tells of their completions and programs."""
    found: dict[str, list[Any]] = {}
    for sample in samples:
        for key in _LISTED:
            if key in sample.evidence:
                value = sample.evidence[key]
                found.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    return found
