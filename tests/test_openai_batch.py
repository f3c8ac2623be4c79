"""The teacher `openai-batch`, against a small Batch API: kills, partial failures, expiry and budgets."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import batches
from batches import Batches, answer, ask, echo, refusal, serving
from understudy.cli import cli
from understudy.errors import BudgetError, TeacherError
from understudy.procedures import Ask
from understudy.records import Completion, Sampling
from understudy.tasks.wordsums import Wordsums
from understudy.teachers.batch import OpenAIBatchTeacher
from understudy.teachers.ledger import Cost
from understudy.teachers.openai import OpenAITeacher
from understudy.teachers.prices import Price
from understudy.teachers.store import Store


def all_of(count: int) -> dict[str, str]:
    return {f"q{i}": f"So q{i}" for i in range(count)}


def test_all_that_is_asked_is_one_batch(tmp_path: Path) -> None:
    with serving(Batches(echo, looks=3)) as endpoint:
        found = ask(endpoint.url, 50, tmp_path)
        again = ask(endpoint.url, 50, tmp_path)
    assert found["ends"] == again["ends"] == all_of(50)
    assert endpoint.steps == {"upload": 1, "create": 1, "poll": 3, "content": 1}
    [batch] = endpoint.batches.values()
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    assert found["said"] == [
        "batch_0: in_progress, 0 of 0 answered, 0 failed",
        "batch_0: completed, 50 of 50 answered, 0 failed",
    ]
    assert (found["ledger"]["requests"], found["ledger"]["tokens"]) == (1, 50 * 30)
    assert again["ledger"]["replayed"] == 50


def test_the_command_asks_a_whole_stage_in_one_batch(tmp_path: Path) -> None:
    with serving(Batches(echo)) as endpoint:
        teacher = (
            f"""{{ name = "openai-batch", model = "m", base_url = "{endpoint.url}", gather_s = 0.2, poll_s = 0.1 }}"""
        )
        (tmp_path / "c.toml").write_text(
            f"""
task = {{ name = "wordsums", train = 150 }}
method = "label-distillation"
store = "store.sqlite"
teacher = {teacher}
generate = {{ samples = 2, concurrency = 4 }}
"""
        )
        words = [str(tmp_path / "c.toml"), "--out", str(tmp_path / "run")]
        results = [CliRunner().invoke(cli, [command, *words]) for command in ("plan", "generate")]
    assert [result.exit_code for result in results] == [0, 0], results[1].output
    assert "batch_0: completed, 150 of 150 answered, 0 failed" in results[1].stderr
    [completions] = (tmp_path / "run" / "completions").glob("*.jsonl")
    assert len(completions.read_text().splitlines()) == 300
    assert [len(endpoint.files[batch["input_file_id"]]) for batch in endpoint.batches.values()] == [150, 150]


def test_rows_that_went_wrong_are_asked_again_or_fail_with_a_reason(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def line(id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        prompt = body["messages"][-1]["content"]
        seen[prompt] = seen.get(prompt, 0) + 1
        once = seen[prompt] == 1
        match prompt:
            case "q0" if once:
                return None  # no line at all
            case "q1" if once:
                return refusal(id, 500, "oops")
            case "q2":
                return refusal(id, 400, "too long", "context_length_exceeded")
            case "q3":
                return refusal(id, 400, "filtered", "content_filter")
            case "q4":
                return refusal(id, 0, "no time left", "batch_expired")
            case "q5" if once:
                return {"custom_id": id, "response": {"status_code": 200, "body": {"choices": []}}}
            case "q6" if once:
                return answer("of somebody else", "surplus")
        return echo(id, body)

    with serving(Batches(line)) as endpoint:
        found = ask(endpoint.url, 9, tmp_path)
    assert found["ends"] == all_of(9) | {
        "q2": "failed: 400 too long",
        "q3": "refused: 400 filtered",
        "q4": "failed: gave up after 3 batches: no time left",
    }
    assert dict(endpoint.asked) == {"q0": 2, "q1": 2, "q2": 1, "q3": 1, "q4": 3, "q5": 2, "q6": 2, "q7": 1, "q8": 1}
    assert found["ledger"]["unknown"] == 0


def test_lines_twice_or_cut_count_once(tmp_path: Path) -> None:
    with serving(Batches(echo)) as endpoint:

        def hold(step: str) -> None:
            for batch in endpoint.batches.values():
                if step == "poll" and endpoint.steps["poll"] == 1:
                    lines = endpoint.files[batch["output_file_id"]]
                    lines[:] = [*lines, *lines, lines[0][:20], b"[]", b"null", b"\xff", b'{"custom_id": 7}']

        endpoint.hold = hold
        found = ask(endpoint.url, 5, tmp_path)
    assert found["ends"] == all_of(5)
    assert found["ledger"]["tokens"] == 5 * 30


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_of_a_batch_that_ends_early_what_came_is_kept(tmp_path: Path, end: str) -> None:
    def line(id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        late = len(endpoint.batches) == 1 and body["messages"][-1]["content"] in ("q1", "q2")
        return (refusal(id, 0, "late", f"batch_{end}") if end == "expired" else None) if late else echo(id, body)

    with serving(Batches(line, ends=[end, "completed"])) as endpoint:
        found = ask(endpoint.url, 6, tmp_path)
    assert found["ends"] == all_of(6)
    assert dict(endpoint.asked) == {"q0": 1, "q1": 2, "q2": 2, "q3": 1, "q4": 1, "q5": 1}
    assert found["ledger"]["tokens"] == 6 * 30  # nothing is charged for what did not come


def test_a_batch_that_is_not_taken_is_an_error_with_the_endpoints_words(tmp_path: Path) -> None:
    with serving(Batches(echo, ends=["failed", "completed"])) as endpoint:
        with pytest.raises(TeacherError, match="Enqueued token limit reached.*smaller batch_size"):
            ask(endpoint.url, 5, tmp_path)
        found = ask(endpoint.url, 5, tmp_path)
    assert found["ends"] == all_of(5)
    assert found["ledger"]["tokens"] == 5 * 30


def test_a_server_without_a_batch_api_is_an_error(tmp_path: Path) -> None:
    with serving(Batches(echo, hold=lambda step: "missing")) as endpoint:
        with pytest.raises(TeacherError, match=r"/files: 404 Not Found\..*ask the teacher openai instead"):
            ask(endpoint.url, 3, tmp_path)
        with Store(tmp_path / "store.sqlite") as store:
            assert store.ledger.spent("r") == Cost()


def test_an_answer_that_was_lost_on_the_way_creates_no_second_batch(tmp_path: Path) -> None:
    with serving(Batches(echo)) as endpoint:
        endpoint.hold = lambda step: "cut" if step == "create" and endpoint.steps[step] == 1 else None
        found = ask(endpoint.url, 5, tmp_path)
    assert found["ends"] == all_of(5)
    assert len(endpoint.batches) == 1


def test_a_budget_makes_smaller_batches_and_ends_before_it_is_overstepped(tmp_path: Path) -> None:
    with serving(Batches(echo)) as endpoint:
        with pytest.raises(BudgetError, match="budget of 1,000 tokens"):
            ask(endpoint.url, 100, tmp_path, budget=1000)
        sizes = [len(endpoint.files[batch["input_file_id"]]) for batch in endpoint.batches.values()]
        assert sizes[0] == 1000 // (100 + 2 + 16 * 2)
        assert len(sizes) > 3
        assert 30 * sum(sizes) <= 1000
        found = ask(endpoint.url, 100, tmp_path)
    assert found["ends"] == all_of(100)
    assert max(endpoint.asked.values()) == 1


def test_batches_are_no_larger_than_they_may_be(tmp_path: Path) -> None:
    with serving(Batches(echo)) as endpoint:
        found = ask(endpoint.url, 25, tmp_path, batch_size=10)
    assert found["ends"] == all_of(25)
    assert [len(endpoint.files[batch["input_file_id"]]) for batch in endpoint.batches.values()] == [10, 10, 5]


def test_samples_that_overlap_are_asked_for_once() -> None:
    async def all_of_them(live: Any) -> list[list[Completion]]:
        ask = Ask("teacher", "q0", key="a", seed=1, sampling=Sampling(0.7, 50))
        asks = [replace(ask, n=2), replace(ask, n=1, first_sample=1), replace(ask, n=3)]
        return list(await asyncio.gather(*map(live.complete_one, asks)))

    def line(id: str, body: dict[str, Any]) -> dict[str, Any]:
        found = echo(id, body)
        found["response"]["body"]["choices"] *= min(2, body["n"])  # it gives two at a time, and no more
        return found

    with serving(Batches(line)) as endpoint:
        teacher = OpenAIBatchTeacher(model="m", base_url=endpoint.url, gather_s=0.05, poll_s=0.05)
        with teacher.open(Wordsums()) as live:
            found = asyncio.run(all_of_them(live))
        sizes = [[json.loads(each)["body"]["n"] for each in endpoint.files[f"file-{i}"]] for i in (0, 2)]
    assert [len(completions) for completions in found] == [2, 1, 3]
    assert sizes == [[2], [1]]


def test_the_price_is_half_of_the_tables_and_not_of_your_own() -> None:
    pytest.importorskip("genai_prices")
    full = OpenAITeacher(model="gpt-4o-mini").price()
    half = OpenAIBatchTeacher(model="gpt-4o-mini").price()
    assert full is not None
    assert half == Price(*(each / 2 for each in full))
    assert OpenAIBatchTeacher(model="gpt-4o-mini").price_source().endswith("less 50 % for batches")
    prices: dict[str, Any] = {"usd_per_million_input": 3, "usd_per_million_output": 4}
    assert OpenAIBatchTeacher(model="m", **prices).price() == Price(Decimal(3), Decimal(4))


KILLED_AT = {"upload": (2, 1), "create": (1, 1), "poll": (1, 1), "content": (1, 1)}
"""The step whose reply never comes: how many files were uploaded and batches created in the end."""


@pytest.mark.parametrize("step", KILLED_AT)
def test_a_kill_at_any_moment_submits_nothing_twice(tmp_path: Path, step: str) -> None:
    reached, killed = threading.Event(), threading.Event()

    def hold(done: str) -> None:
        if done == step and not killed.is_set():
            reached.set()
            killed.wait(20)

    with serving(Batches(echo, looks=2, hold=hold)) as endpoint:
        command = [sys.executable, batches.__file__, "ask", endpoint.url, "20", str(tmp_path)]
        with subprocess.Popen(command) as process:
            assert reached.wait(30)
            process.send_signal(signal.SIGKILL)
        killed.set()
        found = ask(endpoint.url, 20, tmp_path)
    assert found["ends"] == all_of(20)
    assert set(endpoint.asked.values()) == {1}
    assert (endpoint.steps["upload"], endpoint.steps["create"]) == KILLED_AT[step]
    assert found["ledger"]["tokens"] == 20 * 30
    with Store(tmp_path / "store.sqlite") as store:
        for table in ("batches", "batched", "batch_keys", "claimed"):
            assert store._db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_ctrl_c_leaves_the_batch_and_says_how_to_come_back(tmp_path: Path) -> None:
    reached = threading.Event()

    def hold(step: str) -> None:
        if endpoint.steps["poll"] == 2:
            reached.set()

    with serving(Batches(echo, looks=1000, hold=hold)) as endpoint:
        command = [sys.executable, batches.__file__, "ask", endpoint.url, "20", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert reached.wait(30)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        assert "batch_0 will be answered without us, within a day. Give the same command again" in out
        endpoint.looks = 1
        found = ask(endpoint.url, 30, tmp_path)  # ten new questions beside the old ones
    assert found["ends"] == all_of(30)
    assert set(endpoint.asked.values()) == {1}
    assert found["ledger"]["tokens"] == 30 * 30


def test_a_second_process_waits_for_the_same_batch(tmp_path: Path) -> None:
    with serving(Batches(echo, looks=10)) as endpoint:
        command = [sys.executable, batches.__file__, "ask", endpoint.url, "20", str(tmp_path)]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        outs = [process.communicate(timeout=60)[0] for process in both]
    assert all(f'"q{i}": "So q{i}"' in out for i in range(20) for out in outs)
    assert set(endpoint.asked.values()) == {1}


def test_a_batch_that_is_gone_is_an_error_and_can_be_given_up(tmp_path: Path) -> None:
    with serving(Batches(echo, looks=1000)) as endpoint:
        endpoint.hold = lambda step: endpoint.batches.clear() if endpoint.steps["poll"] == 2 else None
        with pytest.raises(TeacherError, match="does not know the batch batch_0.*store prune --batches"):
            ask(endpoint.url, 5, tmp_path)
        with Store(tmp_path / "store.sqlite") as store:
            assert store.forget_batches() == 1
        endpoint.looks, endpoint.hold = 1, lambda step: None
        found = ask(endpoint.url, 5, tmp_path)
    assert found["ends"] == all_of(5)
    assert found["ledger"]["unknown"] == 1
    assert found["ledger"]["tokens"] == 5 * (100 + 2 + 16 * 2) + 5 * 30
