"""Every method on one task: the same student, the same budget of teacher calls, the same seeds, paired differences.

    python benchmarks/methods.py [--quick] [--json FILE] [--write docs/results.md] [--out build/methods]

    method                       accuracy (95 %)          seeds             less pad                  seed by seed
    pad                          80.7 % (79.1 to 82.2)    93.6 58.5 89.9
    step-by-step, expressions    34.5 % (32.4 to 36.6)    30.5 29.5 43.4    -46.2 (-48.4 to -43.8)    -63.1 -29.0 -46.5

The teacher is scripted and asked for one completion for each of the 4,000 training questions of `wordsums`; every role of a
method is trained for the same steps, with three seeds, and answers the same 1,000 test questions. Three tables follow: what
refinement, a verifier and votes change when a fifth of the training programs are right by luck, which no filter by the
answer can see; what programs and chains of thought reach with fewer questions; and their loss a token and length.

The runs lie in `--out` and are gone on with where they were left; two of them are made at a time. All take about an hour on
two cores; with `--quick` some of them are rehearsed: few steps, few questions, one seed, and the figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from understudy import __version__, jsonl
from understudy.demo import COMMON, SHAPE, STEPS, Job, run_side_by_side
from understudy.evidence.comparison import Right, accuracy, answered_right, compare
from understudy.progress import Lines
from understudy.records import Json
from understudy.report.page import to_toml
from understudy.report.rows import NOTHING, amount, percent, table

SEEDS = 3
SIZES = (500, 2000)
TRAIN, TEST = 4000, 1000
LUCKY = 0.2
REFERENCE = "pad"
REACHED = (0.05, 0.5, 0.75, 0.9)
"""Accuracies that are asked for their price."""


@dataclass(frozen=True, slots=True)
class Way:
    """One row of the table.

    Attributes:
        name: of the row and of its runs' folders.
        method: its name.
        options: of the method.
        task: more of the task's settings.
        max_tokens: of an answer.
        evaluate: more of `[evaluate]`.
        trained: name of the way whose students it uses; "" if it trains its own, or none.
        student: whose name it is.
        lucky: share of the teacher's rationales that are right by luck.
        train: how many training questions there are.
        steps: every role is trained for.
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 160
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    trained: str = ""
    student: str = SHAPE
    lucky: float = 0.0
    train: int = TRAIN
    steps: int = STEPS


EXPRESSIONS = {"answer": "expression"}
VOTES = {"votes": 10, "temperature": 0.7}
PAD = Way("pad", "pad")
SINGLE_TASK = Way("single-task", "single-task")
PROGRAMS = (
    PAD,
    Way("pad, 10 votes", "pad", evaluate=VOTES, trained="pad"),
    Way("pad, twice the steps", "pad", steps=2 * STEPS),
    Way("pad-refinement", "pad-refinement"),
    Way("verifier", "verifier", {"format": "program", "solutions": 4, "samples": 10}),
)
WAYS = (
    Way("finetune", "finetune", max_tokens=8),
    Way("finetune, expressions", "finetune", task=EXPRESSIONS, max_tokens=40),
    Way("label-distillation", "label-distillation", max_tokens=8),
    SINGLE_TASK,
    Way("single-task, 10 votes", "single-task", evaluate=VOTES, trained="single-task"),
    Way("step-by-step", "step-by-step", max_tokens=8),
    Way("step-by-step, expressions", "step-by-step", task=EXPRESSIONS, max_tokens=40),
    Way("step-by-step, expressions, twice the steps", "step-by-step", task=EXPRESSIONS, max_tokens=40, steps=2 * STEPS),
    Way("rationale-as-input", "rationale-as-input"),
    Way("rationale-pipeline", "rationale-pipeline"),
    Way("socratic", "socratic"),
    Way("socratic, unified", "socratic", {"mode": "unified"}),
    *PROGRAMS,
    Way("copy the nearest program", "pad", student="nearest"),
    Way("teacher: few-shot-cot", "few-shot-cot"),
    Way("teacher: zero-shot-cot", "zero-shot-cot"),
    Way("teacher: pal", "pal"),
)
LUCK = tuple(
    replace(way, name=f"{way.name}, lucky", trained=way.trained and f"{way.trained}, lucky", lucky=LUCKY)
    for way in PROGRAMS
)
FEWER = tuple(replace(PAD, name=f"{PAD.name}, {train} questions", train=train) for train in SIZES)
REHEARSED = ("finetune", "socratic", "pad", "pad, 10 votes", "verifier", "teacher: pal", "pad, lucky", "single-task")
"""What `--quick` makes: a way of every shape."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: the whole, or the rehearsal of `--quick`."""

    seeds: int = SEEDS
    train: int = TRAIN
    test: int = TEST
    steps: int = STEPS

    def configuration(self, way: Way, seed: int) -> str:
        """The file of one run."""
        steps = math.ceil(way.steps * self.steps / STEPS)
        shared = COMMON.format(student=way.student, seed=seed, steps=steps, max_tokens=way.max_tokens)
        table: dict[str, Any] = tomllib.loads(shared)
        train = math.ceil(way.train * self.train / TRAIN)
        table["task"] = {"name": "wordsums", "train": train, "test": self.test, **way.task}
        table["method"] = {"name": way.method, **way.options}
        table["teacher"]["lucky"] = way.lucky
        table["evaluate"] |= {"splits": ["test"], **way.evaluate}
        return to_toml(table)


def folder(out: Path, way: Way, seed: int) -> Path:
    """Where a run lies: `build/methods/pad-10-votes-1`."""
    return out / f"{way.name.replace(':', '').replace(',', '').replace(' ', '-')}-{seed}"


def make(ways: Sequence[Way], scale: Scale, out: Path) -> None:
    """Make all runs that are not complete; those that use the students of others after those."""
    names = {way.name: way for way in ways}
    for wave in ([way for way in ways if not way.trained], [way for way in ways if way.trained]):
        jobs = []
        for way in wave:
            for seed in range(scale.seeds):
                run = folder(out, way, seed)
                if way.trained and not run.exists():
                    answered = shutil.ignore_patterns("metrics.json", "predictions.jsonl")  # by the other way
                    shutil.copytree(folder(out, names[way.trained], seed), run, ignore=answered)
                config = run.with_suffix(".toml")
                jsonl.write_text(config, scale.configuration(way, seed))
                jobs.append(Job(run.name, config, run))
        run_side_by_side(jobs, 2, Lines())


def judged(out: Path, way: Way, scale: Scale) -> list[Right]:
    """Which test questions each seed's run got right."""
    paths = (folder(out, way, seed) / "predictions.jsonl" for seed in range(scale.seeds))
    return [answered_right(jsonl.read(path), "test") for path in paths]


def measure(way: Way, against: Way | None, scale: Scale, out: Path) -> Json:
    """One row: what the runs of `way` reached, and its paired difference to `against`."""
    runs = judged(out, way, scale)
    found, difference = accuracy(runs), compare(runs, judged(out, against, scale)) if against else None
    if found is None:
        raise SystemExit(f"{way.name}: no test question was judged in all runs. Delete {out} and begin again")
    share, interval = found
    rows = [next(iter(table([folder(out, way, seed)]))) for seed in range(scale.seeds)]
    return {
        "method": way.name,
        "accuracy": share,
        "interval": list(interval),
        "seeds": [sum(right.values()) / len(right) for right in runs],
        "n": len(runs[0]),
        "less": against.name if against and difference else None,
        "difference": difference.value if difference else None,
        "difference_interval": list(difference.interval) if difference else None,
        "difference_by_seed": list(difference.by_seed) if difference else None,
        **{
            key: _mean([row[key] for row in rows])
            for key in ("parsable", "executable", "completion_tokens", "parameters", "teacher_tokens")
        },
    }


def learning(way: Way, scale: Scale, out: Path) -> Json:
    """What the targets of a way's students are like: tokens a target, and the loss a token on held-out rows."""
    from understudy.students.student import Student

    tokens, losses = [], []
    for seed in range(scale.seeds):
        run = folder(out, way, seed)
        encoder = Student.load(run / "students" / "student").encoder
        tokens += [len(encoder.target(row["target"])) for row in jsonl.read(run / "examples" / "student.jsonl")]
        losses.append(json.loads((run / "students" / "student.json").read_text())["best_valid_loss"])
    return {"method": way.name, "target_tokens": statistics.fmean(tokens), "loss_per_token": statistics.fmean(losses)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def apart(difference: float | None, interval: Sequence[float] | None) -> str:
    """A paired difference in points: `-65.9 (-68.4 to -63.3)`; "" without one."""
    if difference is None or interval is None:
        return ""
    return f"{100 * difference:+.1f} ({100 * interval[0]:+.1f} to {100 * interval[1]:+.1f})"


def shown(row: Json) -> list[str]:
    """A row of the main tables."""
    low, high = row["interval"]
    return [
        row["method"],
        f"{percent(row['accuracy'])} ({100 * low:.1f} to {100 * high:.1f})",
        " ".join(f"{100 * share:.1f}" for share in row["seeds"]),
        apart(row["difference"], row["difference_interval"]),
        " ".join(f"{100 * difference:+.1f}" for difference in row["difference_by_seed"] or ()),
        percent(row["executable"]),
        amount(row["completion_tokens"]),
        amount(row["parameters"]),
        amount(row["teacher_tokens"]),
    ]


HEADS = (
    "method",
    "accuracy (95 %)",
    "seeds",
    "less {}",
    "seed by seed",
    "ran",
    "tokens",
    "parameters",
    "teacher tokens",
)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a column without anything to show is left out."""
    used = [place for place in range(len(heads)) if not rows or any(row[place] not in ("", NOTHING) for row in rows)]
    lines = [heads, *rows]
    head, *body = ("| " + " | ".join(line[place] for place in used) + " |" for line in lines)
    return "\n".join([head, "|---" + "|---:" * (len(used) - 1) + "|", *body])


PAGE = """\
<!-- made by `make results`; edit benchmarks/methods.py -->

# Every method on one task

understudy {version}, task `wordsums` with {train:,} training and {test:,} test questions, student `{shape}`, {steps:,}
steps of 8 for every role, {seeds} seeds. The teacher is scripted, asked once for each training question, and errs in
about one program in ten. The questions come from a small grammar: the table shows how the methods are compared and what a
student this small learns of this task, not what they are worth elsewhere.

`accuracy` is the mean over the seeds, with an interval for which questions were drawn; `less pad` is the paired
difference on the same questions, in points, with its 95 % interval. `seeds` and `seed by seed` show what hangs on the
initial weights and the order of the rows: where they lie further apart than an interval is wide, three seeds say little
of a fourth. `tokens` are written for one question at answer time, `parameters` are those of all roles together.

{methods}

## When programs are right by luck

{lucky} of the teacher's programs go wrong in two numbers and reach the right answer all the same: no filter by the
answer sees them. The last column pairs each way with itself on a teacher without such programs.

{luck}

## With fewer questions

The same steps on fewer training questions.

{sizes}

What the teacher must be asked for, in tokens read and written, to reach an accuracy: of all rows on this page with a student
and a teacher without lucky programs the cheapest, and the cheapest that answers by chains of thought.

{prices}

## Programs against chains of thought, token by token

Mean length of a target, and mean loss of its tokens on rows held out from training; of the runs with all questions.

{learning}
{missing}"""


def prices(found: Json) -> list[list[str]]:
    """For each of `REACHED` the cheapest row that learns programs and reaches it, and the cheapest that learns chains."""
    rows = [row for row in (*found["methods"], *found["sizes"]) if row["teacher_tokens"]]
    lines = []
    for share in REACHED:
        line = [percent(share)]
        for family in (("pad",), ("single-task", "rationale-pipeline", "socratic")):
            reach = [row for row in rows if row["method"].startswith(family) and row["accuracy"] >= share]
            best = min(reach, key=lambda row: float(row["teacher_tokens"]), default=None)
            line += [amount(best["teacher_tokens"]), best["method"]] if best else ["not reached", ""]
        lines.append(line)
    return lines


def page(found: dict[str, Any], scale: Scale) -> str:
    """All tables, with the settings."""
    luck = [[*shown(row), apart(row.get("lost"), row.get("lost_interval"))] for row in found["lucky"]]
    main_heads = [head.format(REFERENCE) for head in HEADS]
    luck_heads = [*(head.format(LUCK[0].name) for head in HEADS), "less the same without"]
    sizes = sorted(found["sizes"], key=lambda row: float(row["teacher_tokens"]))
    learning = (
        (row["method"], row["target_tokens"], row["loss_per_token"], row["target_tokens"] * row["loss_per_token"])
        for row in found["learning"]
    )
    return PAGE.format(
        version=__version__,
        train=scale.train,
        test=scale.test,
        shape=SHAPE,
        steps=scale.steps,
        seeds=scale.seeds,
        lucky=f"{100 * LUCKY:.0f} %",
        methods=markdown(main_heads, [shown(row) for row in found["methods"]]),
        luck=markdown(luck_heads, luck),
        missing=f"\nNot all runs are there of: {'; '.join(found['missing'])}.\n" if found["missing"] else "",
        prices=markdown(("accuracy", "with programs", "", "with chains of thought", ""), prices(found)),
        sizes=markdown(main_heads, [shown(row) for row in sizes]),
        learning=markdown(
            ("method", "tokens a target", "loss a token", "loss a target"),
            [(name, f"{tokens:.1f}", f"{loss:.4f}", f"{product:.2f}") for name, tokens, loss, product in learning],
        ),
    )


def complete(way: Way, scale: Scale, out: Path) -> bool:
    """Whether every seed of a way was evaluated."""
    return all((folder(out, way, seed) / "metrics.json").exists() for seed in range(scale.seeds))


def tables(scale: Scale, out: Path) -> dict[str, Any]:
    """The figures of all ways whose runs are there; the names of the others are `missing`."""
    ways = [*WAYS, *LUCK, *FEWER]
    there = {way.name: way for way in ways if complete(way, scale, out)}
    reference, lucky_reference = there.get(REFERENCE), there.get(LUCK[0].name)

    def rows(some: Sequence[Way], against: Way | None) -> list[Json]:
        return [measure(way, None if way == against else against, scale, out) for way in some if way.name in there]

    lucky = []
    for row in rows(LUCK, lucky_reference):
        same = there.get(row["method"].removesuffix(", lucky"))
        lost = compare(judged(out, there[row["method"]], scale), judged(out, same, scale)) if same else None
        if lost is not None:
            row |= {"lost": lost.value, "lost_interval": list(lost.interval)}
        lucky.append(row)
    return {
        "methods": sorted(rows(WAYS, reference), key=lambda row: -float(row["accuracy"])),
        "lucky": lucky,
        "sizes": rows((PAD, *FEWER), None),
        "learning": [learning(way, scale, out) for way in (PAD, SINGLE_TASK) if way.name in there],
        "missing": [way.name for way in ways if way.name not in there],
    }


def main() -> None:
    """Make the runs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a rehearsal with few steps and questions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, too")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page to FILE, too")
    parser.add_argument("--out", type=Path, default=None, help="where the runs lie (build/methods)")
    parser.add_argument("--only", nargs="*", metavar="WAY", help="make the runs of these ways alone, or none")
    given = parser.parse_args()
    scale = Scale(1, 160, 20, 10) if given.quick else Scale()
    out: Path = given.out or Path("build/methods-quick" if given.quick else "build/methods")
    out.mkdir(parents=True, exist_ok=True)
    chosen = given.only if given.only is not None else REHEARSED if given.quick else None
    make([way for way in (*WAYS, *LUCK, *FEWER) if chosen is None or way.name in chosen], scale, out)
    found = tables(scale, out)
    text = page(found, scale)
    print(text)
    if given.write:
        jsonl.write_text(given.write, text)
    if given.json:
        jsonl.write_text(given.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
