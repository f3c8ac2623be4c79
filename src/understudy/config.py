"""The configuration: what a run is made from. defaults < TOML file < `key=value`.

    task = "wordsums"                     # a name, or a table: { name = "wordsums", answer = "expression" }
    method = "pad"
    teacher = "openai:gpt-4o-mini"        # provider:model
    student = "scratch:gpt2-tiny"         # a hub id, a folder, or scratch:NAME = untrained, made from a configuration
    [train]
    steps = 750

The sentence below a field is its help text, its entry in the docs and its description in the JSON Schema. What a
task, a method or a teacher can be told stands in its own class, which derives from `Settings` as the sections here
do. This module knows none of them: it reads their tables as `Part`s, which the registries (`tasks.make`, ...) turn
into objects.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from understudy.errors import ConfigError


class Settings(BaseModel):
    """A frozen table of settings that refuses unknown keys. The sentence below each field is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


def _resolve(path: Path, info: ValidationInfo) -> Path:
    """A relative path starts at the data folder if there is something there, else at the configuration file's folder."""
    folders: Sequence[Path] = (info.context or {}).get("folders", ())
    path = path.expanduser()
    for folder in folders:
        if (folder / path).exists():
            return folder / path
    return folders[-1] / path if folders else path


UserPath = Annotated[Path, AfterValidator(_resolve)]
"""A path in a configuration: relative to the data folder, else to the configuration file."""


class Part(BaseModel):
    """A named part with its own settings: `"wordsums"`, `"openai:gpt-4o-mini"` or a table with a `name`.

    What follows a colon in the name is kept in `model`. A table without a `name` is left to the registry to recognise.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = ""
    model: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        table = {"name": value} if isinstance(value, str) else value
        if (
            isinstance(table, Mapping)
            and isinstance(table.get("name"), str)
            and ":" in table["name"]
            and "model" not in table
        ):
            name, _, model = table["name"].partition(":")
            table = {**table, "name": name, "model": model}
        return table

    @property
    def options(self) -> dict[str, Any]:
        """The table without its name and model."""
        return dict(self.model_extra or {})


def mixed(teacher: Any) -> Any:
    """Several teachers in a list, each with its share, are the parts of one that is `mixed`."""
    return {"name": "mixed", "parts": teacher} if isinstance(teacher, list | tuple) else teacher


class Generate(Settings):
    """Asking the writer of a source, usually the teacher, for rationales."""

    samples: int = Field(1, ge=1)
    """How many completions to ask for each question, where the method's source does not fix it."""
    temperature: float = Field(0.7, ge=0)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Sample from the smallest set of tokens whose probability reaches this."""
    max_tokens: int = Field(512, ge=1)
    """Longest completion, in tokens."""
    demonstrations: int = Field(4, ge=0)
    """How many worked examples stand before the question in a few-shot prompt."""
    seed: int = 0
    """Another number asks the teacher for other samples; it is not the run's `seed`, so that three seeds cost one teacher."""
    concurrency: int = Field(64, ge=1)
    """How many requests to an endpoint may be under way at once, at most; it is fewer while the endpoint is too busy."""


class PromptVariant(Settings):
    """One way of asking among several. What it leaves out is as in `[prompt]`."""

    share: float = Field(gt=0, le=1)
    """Share of the questions that are asked in this way."""
    name: str = ""
    """What it is called where prompts are shown; empty: its number."""
    style: Literal["text", "chat"] | None = None
    """As `prompt.style`."""
    template: Path | None = None
    """As `prompt.template`."""
    system: str | None = None
    """As `prompt.system`."""
    demonstrations: int | None = Field(None, ge=0)
    """How many worked examples, instead of what `generate.demonstrations` or the method says."""
    order: Literal["given", "shuffled"] | None = None
    """As `prompt.order`."""


class PromptSettings(Settings):
    """How the teacher is asked."""

    style: Literal["text", "chat"] = "text"
    """`text`: worked examples and question in one message; `chat`: each worked example as a turn and its reply."""
    template: Path | None = None
    """A jinja2 file of your own that writes the prompt instead; a relative path starts at the configuration file."""
    system: str = ""
    """What a system message says before all else; empty: nothing."""
    order: Literal["given", "shuffled"] = "given"
    """Which worked examples are taken: the task's first ones, or, differently for each variant, any in any order."""
    sets: int = Field(1, ge=1)
    """How many sets of worked examples: sample k of a question is asked for with set k mod `sets`. Sets share no example, as
    the task's next ones or, if `order` is `shuffled`, are drawn anew."""
    variants: tuple[PromptVariant, ...] = ()
    """Several ways of asking in one run, each for a `share` of the questions."""

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.variants:
            check_shares([variant.share for variant in self.variants])
        return self


def check_shares(shares: Sequence[float]) -> None:
    """Shares of a whole must add up to 1.

    Raises:
        ValueError: they do not.
    """
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        found = " + ".join(f"{share:g}" for share in shares)
        raise ValueError(f"the shares add up to {found} = {sum(shares):g}, expected 1; change one of them")


class Filter(Settings):
    """Deciding which rationales a student may learn from."""

    keep: Literal["right", "agreed", "parsed", "all"] | None = None
    """What to keep of what the teacher or humans wrote instead of what the method says: `right`, `agreed`, `parsed` or
    `all`."""
    unlabelled: Literal["parsed", "agreed", "drop"] = "parsed"
    """What `right` means for a question without a gold answer: `parsed` (an answer could be read; a program must run),
    `agreed` (the answer that most of several samples reach) or `drop` (nothing is kept)."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Whether a second rationale equal to an earlier one of the same question is dropped."""
    overlap: Literal["drop", "keep"] = "drop"
    """Whether a training question that is also a test question (case and punctuation aside) is dropped."""


_STRICT = 1e-6


class Grade(Settings):
    """Comparing an answer with the gold one: the same for the filter and the evaluation."""

    tolerance: float = Field(_STRICT, ge=_STRICT, lt=0.5)
    """Numbers this near count as the same (two whole ones only if equal); 0.0005 suits gold answers of three decimals."""
    numbers: Literal["value", "rounded-as-pad"] = "value"
    """`rounded-as-pad` repeats PaD's code, to compare with its figures: 5.4 counts as 5, and 2.5 can never be reached."""

    @model_validator(mode="after")
    def _has_one_rule(self) -> Grade:
        if self.numbers != "value" and self.tolerance != _STRICT:
            raise ValueError("rounding to whole numbers knows no tolerance; give tolerance or numbers, not both")
        return self

    @property
    def note(self) -> str:
        """What every report of a run on numbers must say; "" if answers are graded by their value, as is usual."""
        if self.numbers == "rounded-as-pad":
            return (
                "answers were graded as the code of PaD does it, NOT by their value: rounded to a whole number, so that "
                '5.4 counts as 5 (grade.numbers = "rounded-as-pad")'
            )
        if self.tolerance > _STRICT:
            return f"numbers within {self.tolerance:g} of the gold answer count as right (grade.tolerance)"
        return ""


class Train(Settings):
    """Training one student."""

    validation: float = Field(0.05, ge=0, lt=1)
    """Share of the training questions held out to pick the best checkpoint, where the task has no split `valid`."""
    steps: int = Field(1000, ge=1)
    """Optimiser steps."""
    batch_size: int = Field(32, ge=1)
    """Examples in one optimiser step, over all devices and micro-batches; rows of one group are never split."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Examples in one forward pass on one device; the gradient is accumulated up to `batch_size`. None: all at once."""
    learning_rate: float = Field(5e-4, gt=0)
    """Peak learning rate of AdamW."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises from 0."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    max_prompt_tokens: int = Field(512, ge=1)
    """A prompt may be this long; longer ones are an error that names the row, not a silent cut."""
    max_target_tokens: int = Field(512, ge=1)
    """A target may be this long, the end token included."""
    too_long: Literal["error", "drop"] = "error"
    """What to do with an example over the limits: stop with its name, or drop and count it. One to be judged is dropped."""
    eval_every: int = Field(250, ge=1)
    """Steps between two looks at the validation split and two checkpoints."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the forward pass."""
    roles: dict[str, dict[str, Any]] = {}
    """What is otherwise for one role of a method that trains several: `[train.roles.verifier]` with keys of `[train]`."""

    def of(self, role: str) -> Train:
        """The settings of one role."""
        table = self.model_dump(exclude={"roles"})
        return Train.model_validate({**table, **self.roles.get(role, {})})

    @model_validator(mode="after")
    def _roles_can_be_trained(self) -> Train:
        for role, table in self.roles.items():
            place = f"roles.{role}"
            if whole := sorted({"validation", "roles"} & set(table)):
                raise hidden(f"{place}.{whole[0]} is for all roles together; set train.{whole[0]}")
            _, problems = parse(Train, table, key=place)
            if problems:
                raise hidden("; ".join(problems))
        return self


class Evaluate(Settings):
    """Answering the test questions."""

    splits: tuple[str, ...] = ("test",)
    """Which splits to answer; numbers of different splits are never mixed."""
    batch_size: int = Field(64, ge=1)
    """Questions answered together; the cuts are at fixed positions, so a resumed run computes the same."""
    max_tokens: int = Field(256, ge=1)
    """Longest completion of a student, in tokens."""
    votes: int = Field(1, ge=1)
    """Self-consistency: so many sampled answers vote; 1 answers once, greedily. Works with every method."""
    temperature: float = Field(0.7, gt=0)
    """Sampling temperature of the votes."""


class SandboxSettings(Settings):
    """Running programs that nobody trusts."""

    timeout_s: float = Field(2.0, gt=0)
    """Time limit of one program, in seconds."""
    memory_mb: int = Field(256, ge=16)
    """Memory limit of one program, in MiB."""
    engine: Literal["auto", "cpython", "monty", "unsafe"] = "auto"
    """What runs them: `auto` is `cpython` where the kernel closes it in, else `monty`; `unsafe` has limits but no walls."""


class Config(Settings):
    """All that a run is made from."""

    task: Part
    """The task: one of `understudy list tasks`, or a table; { path = "my.jsonl", answer = "number" } is your own."""
    method: Part
    """The method: the name of one of `understudy list methods`, or a table with its options."""
    teacher: Annotated[Part, BeforeValidator(mixed)] = Part(name="none")
    """The teacher: `provider:model`, or a table; one of `understudy list teachers`; a list of tables with a `share` each."""
    student: str = "scratch:gpt2-tiny"
    """The student: a hub id, a folder, or `scratch:NAME`, an untrained model made from a configuration."""
    seed: int = 0
    """All randomness of the run follows from it."""
    until: Literal["generate", "filter", "build", "train", "evaluate", "report"] = "report"
    """The stage where `understudy run` ends; the page is then written from what there is. `report`: everything."""
    limit: int | None = Field(None, ge=1)
    """Only the first so many questions of every split: for a pilot."""
    fraction: float = Field(1.0, gt=0, le=1)
    """This share of the training questions, with and without a gold answer, drawn before the teacher is asked; a larger share
    holds every smaller one. Other splits stay whole."""
    fraction_seed: int = 0
    """Another number draws another `fraction`; it is not the run's `seed`, so that three seeds cost one teacher."""
    data: Path | None = None
    """Folder with the files of published data sets; relative paths are looked up there first."""
    store: Path | None = None
    """The file that keeps every answer of a paid teacher, for all runs; by default one in your data folder."""
    budget_usd: Decimal | None = Field(None, ge=0)
    """What this run may spend on its teacher, in US dollars; it stops before it could overstep."""
    budget_tokens: int | None = Field(None, ge=0)
    """How many tokens this run may use of its teacher, prompts and completions together."""
    generate: Generate = Generate()
    prompt: PromptSettings = PromptSettings()
    filter: Filter = Filter()
    grade: Grade = Grade()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    sandbox: SandboxSettings = SandboxSettings()


T = TypeVar("T", bound=Settings)


def parse(
    kind: type[T], table: Mapping[str, Any], folders: Sequence[Path] = (), key: str = ""
) -> tuple[T | None, list[str]]:
    """Read `table` as settings of `kind`. Returns the settings, or None with a sentence for every mistake.

    `key` is the dotted place of the table in the configuration, for the sentences.
    """
    try:
        return kind.model_validate(dict(table), context={"folders": tuple(folders)}), []
    except ValidationError as error:
        return None, [_sentence(kind, e, key) for e in error.errors(include_url=False)]


_HIDDEN = "hidden"


def _sentence(kind: type[BaseModel], error: Any, key: str) -> str:
    place = ".".join([*([key] if key else []), *(str(part) for part in error["loc"])])
    if error["type"] == "extra_forbidden":
        known = _fields_at(kind, error["loc"][:-1])
        return unknown("key", place, str(error["loc"][-1]), known)
    if error["type"] == "missing":
        return f"{place} is missing. Set it in the file, or give {place}=VALUE"
    if error["type"] == _HIDDEN:
        return f"{place}: {error['msg']}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place} = {error['input']!r}: {message[0].lower()}{message[1:]}"


def hidden(message: str) -> PydanticCustomError:
    """The error of a validator whose value must not be shown, for it may hold a key."""
    return PydanticCustomError(_HIDDEN, "{message}", {"message": message})


def _fields_at(kind: type[BaseModel], loc: Sequence[Any]) -> list[str]:
    for part in loc:
        if isinstance(part, int):  # an element of a list, whose kind was found with the list
            continue
        annotation = kind.model_fields[part].annotation if part in kind.model_fields else None
        inner = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        tables = [each for each in inner if issubclass(each, BaseModel)]
        if not tables:
            return []
        kind = tables[0]
    return sorted(kind.model_fields)


def unknown(what: str, place: str, word: str, known: Sequence[str]) -> str:
    """The sentence for a word that is not among the known ones, with the nearest of them."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    return f"unknown {what} {place!r}; {hint}"


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: the file is missing or is not TOML; says the line.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(["no such file. `understudy init` writes one to start from"], str(path)) from None
    except IsADirectoryError:
        raise ConfigError(["is a folder, expected a TOML file"], str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"not valid TOML: {error}"], str(path)) from None


def apply_overrides(table: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`table` with each `dotted.key=value` set. A value is read as TOML if it is TOML, else as text.

    Raises:
        ConfigError: an override has no `=` or goes through a value that is no table.
    """
    problems = []
    result = _copy(table)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            problems.append(f"{override!r}: expected key=value, e.g. train.steps=500")
            continue
        *parents, last = key.strip().split(".")
        place: Any = result
        for depth, parent in enumerate(parents):
            inner = place.get(parent, {})
            if isinstance(inner, str) and parents[: depth + 1] in (["task"], ["method"], ["teacher"]):
                inner = {"name": inner}
            if not isinstance(inner, dict):
                problems.append(f"{override!r}: {'.'.join(parents[: depth + 1])} is {inner!r}, not a table")
                break
            place[parent] = inner
            place = inner
        else:
            place[last] = _value(text)
    if problems:
        raise ConfigError(problems, "command line")
    return result


def _copy(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items()}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def documented(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, default as TOML-like text, sentence) of every setting in `kind`, for help texts and docs."""
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            yield from documented(annotation, f"{prefix}{name}.")
            continue
        default = "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield f"{prefix}{name}", default, " ".join((field.description or "").split())


def _shown(value: Any) -> str:
    if isinstance(value, Part):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in value) + "]"
    return "none" if value is None else "{}" if value == {} else str(value)
