"""Run directories with invented numbers, as the stages leave them: what the report is tested on. No measurement."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from understudy import jsonl
from understudy.evidence.metrics import summarise

HOSTILE = "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>\x00\u202e\ud800"
PROGRAM = "def solution():\n    pens = 12\n    more = 5\n    return pens + more"

LEDGER = {
    "requests": 104,
    "unknown": 2,
    "tokens": 51200,
    "usd": "0.31",
    "replayed": 17,
    "budget_usd": "5",
    "budget_tokens": None,
}


def make_run(
    root: Path,
    method: str = "pad",
    right: int = 30,
    of: int = 40,
    notes: Sequence[str] = (),
    text: str = PROGRAM,
    split: str = "test",
) -> Path:
    """A complete run: `right` of `of` answers correct, every fifth of the others without an answer."""
    _manifest(root, method, notes)
    _source(root, text)
    _role(root)
    rows = [_verdict(n, n < right, split, text) for n in range(of)]
    jsonl.write(root / "predictions.jsonl", rows)
    _json(root / "metrics.json", {"splits": summarise(rows), "sandbox": "subprocess"})
    return root


def _json(path: Path, value: Any) -> None:
    jsonl.write_text(path, json.dumps(value))


def _manifest(root: Path, method: str, notes: Sequence[str]) -> None:
    config = {
        "task": {"name": "wordsums", "model": ""},
        "method": {"name": method, "model": "", "keep": "right"},
        "teacher": {"name": "openai", "model": "some-model"},
        "student": "scratch:gpt2-tiny",
        "seed": 3,
        "limit": None,
        "train": {"steps": 500, "learning_rate": 0.0005, "objectives": {}},
        "evaluate": {"splits": ["test"], "max_tokens": 256},
    }
    steps = [
        {"step": "generate-program", "rows": 100, "seconds": 12.5},
        {"step": "train-student", "rows": 500, "seconds": 130.0},
    ]
    _json(
        root / "manifest.json",
        {
            "understudy": "0.1.0",
            "config": config,
            "seed": 3,
            "versions": {"python": "3.12.1", "torch": "2.9.0"},
            "host": {"system": "Linux", "machine": "x86_64"},
            "steps": steps,
            "notes": list(notes),
            "ledger": LEDGER,
        },
    )


def _source(root: Path, text: str) -> None:
    faults = {"wrong_answer": 12, "syntax_error": 5, "truncated": 2, "timeout": 1}
    numbers = {
        "questions": 100,
        "asked": 100,
        "read": 92,
        "graded": 92,
        "right": 80,
        "kept": 80,
        "questions_kept": 80,
        "overlap": 0,
    }
    tokens = {"prompt_tokens": 41000, "completion_tokens": 9000}
    jsonl.write(
        root / "rationales/program.jsonl",
        [{"question": f"train-{n}", "sample": 0, "text": text, "answer": "17"} for n in range(80)],
    )
    jsonl.write(
        root / "rejected/program.jsonl",
        [
            {"question": f"train-{slug}-{n}", "sample": 0, "slug": slug, "evidence": f"read {n}", "text": text}
            for slug, count in faults.items()
            for n in range(count)
        ],
    )
    funnel = {
        "source": "program",
        "format": "program",
        "by": "teacher",
        "keep": "right",
        **numbers,
        **tokens,
        "faults": faults,
    }
    _json(root / "rationales/program.funnel.json", funnel)


def _role(root: Path) -> None:
    example = {"prompt": "Mia has 12 pens and buys 5 more. How many?", "target": PROGRAM, "objective": "program"}
    jsonl.write(root / "examples/student.jsonl", [{"question": f"train-{n}", **example} for n in range(72)])
    jsonl.write(root / "examples/student.valid.jsonl", [{"question": f"train-{n}", **example} for n in range(72, 80)])
    log: list[dict[str, Any]] = []
    for step in range(10, 510, 10):
        loss = 4.2 * math.exp(-step / 90) + 0.12 + 0.06 * math.sin(step)
        log.append({"step": step, "loss": loss, "learning_rate": 5e-4})
        if step % 100 == 0:
            log[-1]["valid_loss"] = loss + 0.1
    jsonl.write(root / "training/student.jsonl", log)
    preview = f"prompt  {example['prompt']}\ntarget  {PROGRAM}</s>"
    summary = {
        "parameters": 1_234_567,
        "steps": 500,
        "examples": 72,
        "dropped": 0,
        "tokens_per_step": 2412.3,
        "targets_per_step": {"label": 96.0, "rationale": 611.4},
        "best_step": 400,
        "preview": preview,
    }
    _json(root / "students/student.json", summary)


def _verdict(number: int, right: bool, split: str, text: str) -> dict[str, Any]:
    silent = not right and number % 5 == 0
    evidence = {"finish": ["stop"], "completion_tokens": [30 + number % 7], "status": "name_error" if silent else "ok"}
    row = {
        "split": split,
        "question": f"{split}-{number}",
        "result": "correct" if right else "no_answer" if silent else "wrong",
    }
    return {
        **row,
        "answer": None if silent else "17" if right else "7",
        "gold": "17",
        "texts": [text],
        **({"fault": "name_error"} if silent else {}),
        "evidence": evidence,
        "question_text": f"Mia has 12 pens and buys 5 more. How many pens does she have now? ({number})",
    }
