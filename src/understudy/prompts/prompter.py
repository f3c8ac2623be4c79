"""The prompts of a run: which way of asking a question gets, and what it says.

| style  | worked examples and question              | instruction                     | what a chat model is told     |
|--------|-------------------------------------------|---------------------------------|-------------------------------|
| `text` | `Q: ...` and `A: ...` in one text         | the first line, where it has one | one message of the user       |
| `chat` | a turn of the user and its reply, for each | the system message, in full     | as many turns as there are    |
| own    | as the template says                      | as the template says            | one message, or its own turns |

Every prompt has a flat text too, for models without a chat form, recordings and logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from understudy.config import PromptSettings, PromptVariant
from understudy.errors import ConfigError
from understudy.formats.format import Format
from understudy.procedures import deal, derive_seed
from understudy.prompts.template import Template
from understudy.records import Question, Rationale
from understudy.tasks.task import Task

Turns = tuple[tuple[str, str], ...]
Worked = Sequence[tuple[Question, Rationale]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: as one text, and as turns of a chat; no turns if it is one message of the user."""

    text: str
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of asking.

    Attributes:
        share: of the questions.
        demonstrations: how many worked examples; None leaves it to whoever asks.
        template: writes the prompt instead of the format.
    """

    name: str
    share: float
    style: Literal["text", "chat"]
    system: str
    demonstrations: int | None
    order: Literal["given", "shuffled"]
    template: Template | None


class Prompter:
    """Writes prompts.

    Attributes:
        variants: the ways of asking; one, if the configuration names none.
        sets: how many sets of worked examples take turns, sample by sample.
    """

    def __init__(self, settings: PromptSettings | None = None, seed: int = 0, folder: Path = Path()) -> None:
        """Read the templates, whose relative paths start at `folder`.

        Raises:
            ConfigError: a template is missing or is none; says file:line.
        """
        self._settings, self._seed = settings or PromptSettings(), seed
        self.sets = self._settings.sets
        shared = self._settings.model_dump(exclude={"variants", "sets"})
        tables: list[dict[str, Any]] = [
            {"name": str(number)} | (shared | ({"template": None} if variant.style else {})) | _said(variant)
            for number, variant in enumerate(self._settings.variants, 1)
        ] or [{"name": "", "share": 1.0, **shared}]
        self.variants = tuple(
            Variant(**{"demonstrations": None, **table, "template": _template(table["template"], folder)})
            for table in tables
        )

    def identity(self) -> str:
        """Changes when any prompt could."""
        templates = [variant.template.digest if variant.template else None for variant in self.variants]
        settings = self._settings.model_dump_json(exclude={"template": True, "variants": {"__all__": {"template"}}})
        return f"prompts {self._seed} {settings} {templates}"

    def variant(self, question: str) -> Variant:
        """The way of asking that falls to the question of that id, whatever other questions there are."""
        shares = [variant.share for variant in self.variants]
        return self.variants[deal(shares, "prompt", self._seed, question)]

    def prompt(
        self,
        task: Task,
        question: Question,
        format: Format,
        examples: Worked,
        demonstrations: int,
        variant: Variant | None = None,
        sample: int = 0,
    ) -> Prompt:
        """What is asked.

        `examples` are the task's worked examples in this format, and so many `demonstrations` are taken of them where the
        variant does not say. The variant is by default the one that falls to the question; which set of them is shown
        depends on the number of the `sample`.

        Raises:
            ConfigError: the template fails on this question; says file:line. Or the worked examples are too few for the set.
        """
        variant = variant or self.variant(question.id)
        count = demonstrations if variant.demonstrations is None else variant.demonstrations
        shown = self._set(examples, count if format.worked else 0, variant, sample % self.sets)
        if variant.template:
            text, turns = variant.template.render(_told(task, question, format, shown))
        elif variant.style == "chat":
            instructions = format.instructions(task, question)
            text = format.prompt(task, question, shown, instructions)
            turns = (("system", instructions), *_turns(task, question, format, shown))
        else:
            text, turns = format.prompt(task, question, shown), ()
        if variant.system:
            turns = (("system", variant.system), *(turns or (("user", text),)))
            text = f"{variant.system}\n\n{text}"
        return Prompt(text, turns)

    def _set(self, examples: Worked, count: int, variant: Variant, number: int) -> Worked:
        """The worked examples of a set."""
        if variant.order == "shuffled":
            random = Random(derive_seed("demonstrations", self._seed, variant.name, *([number] if number else [])))
            return random.sample(list(examples), len(examples))[:count]
        shown = examples[number * count : (number + 1) * count]
        if number and len(shown) < count:
            raise ConfigError(
                [
                    f"prompt.sets = {self.sets}: so many sets of {count} worked examples need {self.sets * count}, and there "
                    f"are {len(examples)}. Take fewer sets, fewer of them in a set (generate.demonstrations), more of them "
                    '(task.demonstrations_path), or prompt.order = "shuffled", whose sets may share some'
                ]
            )
        return shown


def _said(variant: PromptVariant) -> dict[str, Any]:
    return variant.model_dump(exclude_none=True, exclude_defaults=True)


def _template(path: Path | None, folder: Path) -> Template | None:
    return None if path is None else Template(folder / path.expanduser())


def _turns(task: Task, question: Question, format: Format, shown: Worked) -> Turns:
    worked = ((("user", asked.text), ("assistant", format.write(task, rationale))) for asked, rationale in shown)
    return (*(turn for pair in worked for turn in pair), ("user", question.text))


def _told(task: Task, question: Question, format: Format, shown: Worked) -> dict[str, Any]:
    """What a template knows: nothing of the question's gold answer."""
    return {
        "question": _asked(question),
        "demonstrations": [
            {
                "question": _asked(asked),
                "rationale": rationale.text,
                "answer": rationale.answer,
                "written": format.write(task, rationale),
            }
            for asked, rationale in shown
        ],
        "instruction": format.instructions(task, question),
        "format": format.name,
        "cue": task.cue,
    }


def _asked(question: Question) -> dict[str, Any]:
    return {"id": question.id, "text": question.text, "choices": question.choices, "extra": dict(question.extra)}
