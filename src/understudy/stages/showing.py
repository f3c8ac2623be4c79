"""show-prompt: what is asked, word for word, without asking anybody.

    # source program: question train-0
    temperature 0.7, top_p 1, at most 512 tokens, 1 sample, no stop

    ## openai:gpt-4o-mini, 70 % of the questions; variant 2, 30 % of the questions, this one too

    [system]
    Answer with the answer alone.

    [user]
    Mia has 12 pens and buys 5 more. How many pens does she have?

For every source, then for the first round of how a test question is answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from understudy.errors import ConfigError
from understudy.formats import Format
from understudy.methods import AsksTeacher, Source
from understudy.procedures import Ask
from understudy.prompts import Prompt
from understudy.records import Question, Sampling
from understudy.stages.run import Run
from understudy.teachers.mixed import MixedTeacher, Share
from understudy.teachers.teacher import messages


def show_prompts(run: Run, question: str = "", only: str = "") -> Iterator[str]:
    """Paragraphs of text.

    `question` is the id of the one to show; by default the first that is asked. `only` names a source or a format: no
    others are shown.

    Raises:
        ConfigError: there is no such question, source or format.
    """
    sources = list({source.name: source for role in run.method.roles() for source in role.sources}.values())
    chosen = [source for source in sources if only in ("", source.name, source.format.name)]
    alone = run.method.format.name if isinstance(run.method, AsksTeacher) else None
    if only and not chosen and only != alone:
        there = dict.fromkeys(
            [*(name for s in sources for name in (s.name, s.format.name)), *([alone] if alone else [])]
        )
        raise ConfigError(
            [f"{run.method.name} has no source or format {only!r}; there are: {', '.join(there) or 'none'}"]
        )
    for source in chosen:
        yield from _source(run, source, _find(run, question, source.splits))
    if not only or alone == only:
        yield from _answer(run, _find(run, question, run.config.evaluate.splits))


def _find(run: Run, id: str, splits: Sequence[str]) -> Question:
    """The question of that id, of whichever split; without one the first of `splits`."""
    there = [split for split in (run.task.splits if id else splits) if split in run.task.splits]
    for split in there:
        for question in run.questions(split):
            if id in ("", question.id):
                return question
    place = f"the splits {', '.join(there)} of task {run.task.name!r}"
    raise ConfigError(
        [f"no question {id!r} in {place}. Its id stands in the rows" if id else f"no question in {place}"]
    )


def _source(run: Run, source: Source, question: Question) -> Iterator[str]:
    n = run.samples(source)
    yield f"# source {source.name}: question {question.id}"
    if source.by == "human":
        yield "written by humans: nobody is asked"
        return
    yield _how(run.writing(source), n, ())
    if source.by == "teacher":
        yield from _teacher(
            run, question, source.format, run.config.generate.demonstrations, min(run.prompter().sets, n)
        )
    else:
        yield from _said(f"## the student of the role {source.by}", [("", question.text)])


def _answer(run: Run, question: Question) -> Iterator[str]:
    yield f"# answering the test question {question.id}: the first round"
    if isinstance(run.method, AsksTeacher):
        yield _how(run.sampling, run.config.evaluate.votes, ())
        yield from _teacher(run, question, run.method.format, run.method.demonstrations)
        return
    for call in next(run.answer(question)):
        if isinstance(call, Ask):
            yield _how(call.sampled(run.sampling), call.n, call.stop)
            told = messages(call) if call.turns else [("", call.prompt + call.prefix)]
            who = "the teacher" if call.role == "teacher" else f"the student of the role {call.role}"
            yield from _said(f"## {who}", told)


def _teacher(run: Run, question: Question, format: Format, demonstrations: int, sets: int = 1) -> Iterator[str]:
    """What each teacher is told in each variant, with each of so many sets of worked examples."""
    teacher, prompter = run.teacher, run.prompter()
    examples = run.task.demonstrations(format.name)
    mine = prompter.variant(question.id)
    for share in teacher.parts if isinstance(teacher, MixedTeacher) else [Share(1.0, teacher)]:
        for variant, number in itertools.product(prompter.variants, range(sets if format.worked else 1)):
            own = share.teacher.own_prompt(run.task, question, format)
            prompt = (
                prompter.prompt(run.task, question, format, examples, demonstrations, variant, number)
                if own is None
                else Prompt(own)
            )
            told = share.teacher.told(Ask("teacher", prompt.text, key=question.id, turns=prompt.turns))
            name = ":".join(filter(None, (share.teacher.name, share.teacher.model)))
            title = [name + _of(share.share, share.teacher is teacher.part(question.id))]
            if variant.name:
                title.append(f"variant {variant.name}" + _of(variant.share, variant is mine))
            if sets > 1 and format.worked:
                title.append(f"set {number + 1} of {sets} of the worked examples")
            yield from _said(f"## {'; '.join(title)}", told)


def _of(share: float, this: bool) -> str:
    return "" if share == 1 else f", {100 * share:g} % of the questions{', this one too' if this else ''}"


def _how(sampling: Sampling, n: int, stop: Sequence[str]) -> str:
    stops = f"stop at {', '.join(map(repr, stop))}" if stop else "no stop"
    samples = "1 sample" if n == 1 else f"{n} samples"
    return (
        f"temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, at most {sampling.max_tokens} tokens, "
        f"{samples}, {stops}"
    )


def _said(title: str, told: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield title
    for role, text in told:
        yield f"[{role or 'text'}]\n{text}"
