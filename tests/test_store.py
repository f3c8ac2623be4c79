"""The store of answers: what is asked again, who may ask, and what a broken file or disk does."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import asking
from asking import ASK, Slow
from understudy import jsonl
from understudy.cli import cli
from understudy.errors import DataError, StoreError
from understudy.procedures import Ask, Driver, Procedure
from understudy.progress import Silent
from understudy.records import Completion, Sampling
from understudy.teachers import checkpointer, exchange
from understudy.teachers import store as store_module
from understudy.teachers.account import Account
from understudy.teachers.kept import Asked, KeptBatches, Reply, keeping
from understudy.teachers.ledger import Cost
from understudy.teachers.packing import LONG, packed, unpacked
from understudy.teachers.store import Answer, Change, Store, default_path, exact, exact_of, key_of, request_of


class Model:
    """Says what it was asked; counts how often."""

    def __init__(self, finish: Any = "stop", tokens: int = 7) -> None:
        self.asked: list[Ask] = []
        self.finish, self.tokens = finish, tokens

    def complete(self, asks: Any) -> list[list[Completion]]:
        self.asked += asks
        return [[self._one(ask, ask.first_sample + i) for i in range(ask.n)] for ask in asks]

    def _one(self, ask: Ask, sample: int) -> Completion:
        error = "gave up" if self.finish == "failed" else ""
        return Completion(f"{ask.prompt}/{sample}", self.finish, "m", 5, self.tokens, error)


def asked_again(path: Path, first: Ask, then: Ask, model: Model | None = None, identity: str = "one") -> list[int]:
    """The samples that `then` asks for after `first` was answered."""
    with Account(path) as account:
        KeptBatches(model or Model(), "one", account).complete([first])
    again = Model()
    with Account(path) as account:
        found = KeptBatches(again, identity, account).complete([then])
    assert [len(completions) for completions in found] == [then.n]
    return [ask.first_sample + i for ask in again.asked for i in range(ask.n)]


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    assert asked_again(tmp_path / "s", replace(ASK, n=3), replace(ASK, n=3, key="another id")) == []


def test_only_new_samples_are_asked(tmp_path: Path) -> None:
    assert asked_again(tmp_path / "s", replace(ASK, n=2, first_sample=1), replace(ASK, n=5)) == [0, 3, 4]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "How much?"},
        {"prefix": "So"},
        {"stop": ("Q:",)},
        {"seed": 2},
        {"sampling": Sampling(0.8, 100, 0.9)},
        {"sampling": Sampling(0.7, 100, 0.8)},
    ],
    ids=str,
)
def test_another_request_never_gets_an_old_answer(tmp_path: Path, change: dict[str, Any]) -> None:
    assert asked_again(tmp_path / "s", ASK, replace(ASK, **change)) == [0]


def test_another_endpoint_never_gets_an_old_answer(tmp_path: Path) -> None:
    assert asked_again(tmp_path / "s", ASK, ASK, identity="two") == [0]


def test_a_greedy_answer_depends_on_no_seed(tmp_path: Path) -> None:
    greedy = replace(ASK, sampling=Sampling(0.0))
    assert asked_again(tmp_path / "s", greedy, replace(greedy, seed=9)) == []


@pytest.mark.parametrize(
    ("finish", "tokens", "limit", "again"),
    [
        ("stop", 7, 200, []),  # raised: what ended by itself stays
        ("length", 100, 200, [0]),  # raised: what was cut is asked again
        ("length", 100, 100, []),
        ("stop", 7, 50, []),  # lowered, and still long enough
        ("stop", 70, 50, [0]),  # lowered: it would be cut now
        ("length", 100, 50, [0]),
        ("refused", 7, 200, []),
        ("failed", 0, 100, [0]),
    ],
)
def test_another_limit_asks_only_for_what_it_changes(
    tmp_path: Path, finish: str, tokens: int, limit: int, again: list[int]
) -> None:
    then = replace(ASK, sampling=Sampling(0.7, limit, 0.9))
    assert asked_again(tmp_path / "s", ASK, then, Model(finish, tokens)) == again


def test_both_limits_answers_are_kept(tmp_path: Path) -> None:
    longer = replace(ASK, sampling=Sampling(0.7, 200, 0.9))
    assert asked_again(tmp_path / "s", ASK, longer, Model("length", 100)) == [0]
    assert asked_again(tmp_path / "s", ASK, longer) == []
    with Account(tmp_path / "s") as account:
        [[short]], [[long]] = (KeptBatches(Model(), "one", account).complete([ask]) for ask in (ASK, longer))
    assert (short.finish, long.finish) == ("length", "stop")


def test_a_failure_never_takes_an_answers_place(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        request = request_of("one", ASK, 0)
        for said in (Completion("yes", "stop"), Completion("", "failed", error="no")):
            store.transact([lambda said=said: store.keep([request], [Answer(said)], 100)])  # type: ignore[misc]
        assert store.find([key_of(request)], 100, failed=True) == [Completion("yes")]


def test_a_newer_failure_takes_an_older_ones_place_and_an_answer_takes_its(tmp_path: Path) -> None:
    first, second = (Completion("", "failed", error=why) for why in ("timed out", "reset"))
    with Store(tmp_path / "s") as store:
        request = request_of("one", ASK, 0)
        for said, kept in ((first, first), (second, second), (Completion("yes"), Completion("yes"))):
            store.transact([lambda said=said: store.keep([request], [Answer(said)], 100)])  # type: ignore[misc]
            assert store.find([key_of(request)], 100, failed=True) == [kept]


@given(
    st.text(st.characters(exclude_categories=())) | st.text(st.characters(max_codepoint=128)),
    st.lists(st.text(max_size=5), max_size=3),
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=9)), max_size=3),
    st.sampled_from([0.0, 0.7, 1e-9]),
    st.none() | st.integers(0, 2**63),
)
def test_the_key_of_a_request_is_that_of_its_plain_json(
    text: str, stop: list[str], turns: list[tuple[str, str]], temperature: float, seed: int | None
) -> None:
    sampling = None if temperature == 1e-9 else Sampling(temperature, 9, 0.95)
    ask = Ask("teacher", text, stop=tuple(stop), turns=tuple(turns), seed=seed, prefix=text[:3], sampling=sampling)
    for identity in ("one", text):
        request = request_of(identity, ask, 3)
        assert exact_of(identity, ask, 3) == exact(request)
        assert exact(request).text == json.dumps(request, sort_keys=True).encode()


@given(st.text(max_size=200), st.lists(st.text(max_size=5), max_size=3), st.floats(0, 2), st.integers(0, 2**62))
def test_any_text_comes_back_as_it_was(text: str, stop: list[str], temperature: float, seed: int) -> None:
    ask = Ask("teacher", text, stop=tuple(stop), seed=seed, sampling=Sampling(temperature, 9))
    with Store(None) as store:
        request = request_of("one", ask, 3)
        store.transact([lambda: store.keep([request], [Answer(Completion(text, model=text))], 9)])
        assert store.find([key_of(request)], 9) == [Completion(text, model=text)]


@pytest.mark.parametrize("size", [0, 1, LONG - 20, LONG, LONG + 1, 100_000])
def test_a_row_of_any_length_comes_back(size: int) -> None:
    row = {"text": "é" * (size // 2) + "x" * (size % 2)}
    assert unpacked(packed(row)) == row
    assert unpacked(zlib.compress(json.dumps(row).encode(), 0)) == row, "as it was written before"
    assert len(packed(row)) <= len(json.dumps(row, ensure_ascii=False).encode())


def test_one_request_that_many_want_is_sent_once() -> None:
    async def several() -> list[list[Completion]]:
        return list(await asyncio.gather(*(live.complete_one(replace(ASK, key=str(i))) for i in range(20))))

    endpoint = Slow()
    with Account() as account, keeping(endpoint, "one", account) as live:
        assert asyncio.run(several()) == [[Completion("yes")]] * 20
        live.check()
        assert account.store.ledger.spent("") == Cost(3, 2)
    assert endpoint.sent == ["How many?"]


def each(live: Any, asks: list[Ask], at_once: int) -> list[list[Completion]]:
    """As the stage `generate` asks: what is asked soon is looked up together."""

    def asking(ask: Ask) -> Procedure[list[Completion]]:
        [completions] = yield [ask]
        return list(completions)

    found: dict[str, list[Completion]] = {}
    procedures = ((str(i), asking(ask)) for i, ask in enumerate(asks))
    asyncio.run(Driver({"teacher": live}, lambda _: []).each(procedures, at_once, found.__setitem__))
    return [found[str(i)] for i in range(len(asks))]


@pytest.mark.parametrize("at_once", [1, 5, 200])
def test_the_same_request_foreseen_often_is_sent_once(tmp_path: Path, at_once: int) -> None:
    asks = [replace(ASK, prompt=f"q{i % 7}") for i in range(100)]
    endpoint = Slow()
    with Account(tmp_path / "s") as account, keeping(endpoint, "one", account) as live:
        assert each(live, asks, at_once) == [[Completion("yes")]] * 100
    assert sorted(endpoint.sent) == [f"q{i}" for i in range(7)]


def test_foreseen_with_two_limits_each_gets_its_own(tmp_path: Path) -> None:
    short = replace(ASK, sampling=Sampling(0.7, 5, 0.9))
    with Store(tmp_path / "s") as store:
        request = request_of("one", ASK, 0)
        store.transact([lambda: store.keep([request], [Answer(Completion("long one", "length"))], 100)])
    endpoint = Slow()
    with Account(tmp_path / "s") as account, keeping(endpoint, "one", account) as live:
        assert each(live, [short, ASK], 1) == [[Completion("yes")], [Completion("long one", "length")]]
    assert len(endpoint.sent) == 1


def test_what_another_process_got_since_it_was_foreseen_is_not_sent(tmp_path: Path) -> None:
    endpoint = Slow()
    with Account(tmp_path / "s") as account, keeping(endpoint, "one", account) as live:
        live.foresee([ASK])
        with Store(tmp_path / "s") as other:
            request = request_of("one", ASK, 0)
            other.transact([lambda: other.keep([request], [Answer(Completion("theirs"))], 100)])
        assert asyncio.run(live.complete_one(ASK)) == [Completion("theirs")]
    assert endpoint.sent == []


def test_what_another_process_got_is_noticed_by_every_teacher_of_a_run(tmp_path: Path) -> None:
    class Late(Slow):
        """Another process answers while the request waits for its place."""

        async def request(self, ask: Ask, n: int, first: int, attempts: Any) -> Reply:
            await asyncio.sleep(0)  # both have looked it up
            with Store(tmp_path / "s") as other:
                answers = [request_of("one", ask, 0), request_of("two", ask, 0)]
                other.transact(
                    [partial(other.keep, [request], [Answer(Completion("theirs"))], 100) for request in answers]
                )
            return await super().request(ask, n, first, attempts)

    endpoint = Late()
    with (
        Account(tmp_path / "s") as account,
        keeping(endpoint, "one", account) as one,
        keeping(endpoint, "two", account) as two,
    ):

        async def both() -> list[list[Completion]]:
            return list(await asyncio.gather(one.complete_one(ASK), two.complete_one(ASK)))

        assert asyncio.run(both()) == [[Completion("theirs")]] * 2
    assert endpoint.sent == []


def test_any_number_of_samples_is_looked_up(tmp_path: Path) -> None:
    many = replace(ASK, n=40_000)
    with Account(tmp_path / "s") as account:
        KeptBatches(Model(), "one", account).complete([replace(ASK, first_sample=39_999)])
        account.store._db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)  # Debian's takes more than others
        found = account.store.find(Asked.of("one", many).keys, 100)
    assert [i for i, completion in enumerate(found) if completion] == [39_999]


def test_a_request_given_up_before_it_was_sent_costs_nothing() -> None:
    endpoint = Slow()
    with Account(run="r") as account, keeping(endpoint, "one", account) as live:

        async def give_up() -> None:
            asking = asyncio.create_task(live.complete_one(ASK))
            await asyncio.sleep(0)  # it waits until it is on disk that it is sent
            asking.cancel()
            await asyncio.wait([asking])

        asyncio.run(give_up())
        live.check()
        assert account.store.ledger.requests("r") == {}
        assert account.store.ledger.spent("r") == Cost()
        assert account.store.claims.owners() == set()
    assert endpoint.sent == []


def test_what_failed_is_recalled_with_its_reason() -> None:
    class Failing(Slow):
        async def request(self, ask: Ask, n: int, first: int, attempts: Any) -> Reply:
            await attempts.begin()
            attempts.end(free=False)
            return Reply([Answer(Completion("", "failed", error="gave up"))] * n)

    with Account() as account, keeping(Failing(), "one", account) as live:
        asyncio.run(live.complete_one(ASK))
        assert live.recall().complete([ASK]) == [[Completion("", "failed", error="gave up")]]
        assert account.store.ledger.spent("") == Cost(100, 10)  # nobody knows, so it counts as the most


def test_two_processes_at_once_ask_for_nothing_twice(tmp_path: Path) -> None:
    command = [sys.executable, asking.__file__, str(tmp_path / "s"), "50"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sent = [prompt for process in both for prompt in json.loads(process.communicate(timeout=60)[0])]
    assert sorted(sent) == sorted(f"q{i}" for i in range(50))


def claim(store: Store, keys: Sequence[bytes] = (b"k" * 16,)) -> list[list[bool]]:
    return store.transact([lambda: store.set_out("r", [(keys, Cost(50, 7))])])


def test_the_claim_of_a_killed_process_dies_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from understudy.teachers.store import *\n"
        f"store = Store(Path({str(tmp_path / 's')!r}))\n"
        "store.transact([lambda: store.set_out('r', [([b'k' * 16, b'l' * 16], Cost(50, 7))])])\n"
        "print('claimed', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        with Store(tmp_path / "s") as store:
            assert claim(store) == [[False]]
            assert store.lost("r") == 0  # it lives
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert store.lost("r") == 2
            assert store.ledger.spent("r") == Cost(50, 7)
            assert store.ledger.requests("r") == {"unknown": 1}
            assert claim(store) == [[True]]
    assert not list((tmp_path / "s.owners").iterdir())


def test_how_many_were_under_way_is_said(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as killed:
        claim(killed)
        (tmp_path / "s.owners" / killed.owner).rename(tmp_path / "gone")  # as if its process were dead
        said: list[str] = []
        with Account(tmp_path / "s", run="r", say=said.append) as account:
            assert account.store
    assert said == [
        "1 answers were under way when this run was stopped; their outcome is unknown, so they are asked for again"
    ]


def fill(path: Path, count: int) -> None:
    with Account(path) as account:
        asks = [replace(ASK, prompt=f"q{i} " + "word " * 50) for i in range(count)]
        KeptBatches(Model(), "one", account).complete(asks)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_store_is_a_clear_error_and_can_be_saved(tmp_path: Path, share: float) -> None:
    path, saved = tmp_path / "s", tmp_path / "saved.jsonl"
    fill(path, 2000)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(int(size * share))
    try:
        count = exchange.export(path, saved)
    except StoreError as error:
        pytest.fail(f"nothing could be saved: {error}")
    assert count > 2000 * share * 0.5
    rows = list(jsonl.read(saved))
    assert len({row["request"]["prompt"] for row in rows}) == count
    new = exchange.take_over(tmp_path / "new", saved)
    assert new == (count, 0)
    with pytest.raises(StoreError, match=r"damaged .*store export"), Account(path) as account:
        KeptBatches(Model(), "one", account).complete([replace(ASK, prompt=f"new {i}") for i in range(2000)])


def test_the_log_is_emptied_while_answers_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointer, "LONGEST", 100_000)
    path, log = tmp_path / "s", tmp_path / "s-wal"
    answer, lengths = [Answer(Completion("word " * 400))], [0]
    with Store(path) as store:
        while lengths[-1] >= lengths[-2:][0] / 2 and len(lengths) < 20_000:
            request = request_of("one", replace(ASK, prompt=f"q{len(lengths)}"), 0)
            store.transact([partial(store.keep, [request], answer, 9)])
            lengths.append(log.stat().st_size)
        assert lengths[-1] < lengths[-2] / 2, "it was never emptied"
        assert path.stat().st_size > 2000 * (len(lengths) - 1), "the file has them while the store is open"
    assert not log.exists()
    assert exchange.export(path, tmp_path / "out.jsonl") == len(lengths) - 1
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpointer"]


def test_what_is_only_in_the_log_is_there_after_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from test_store import *\n"
        "store = Store(Path(sys.argv[2]))\n"
        "for i in range(500):\n"
        "    request = request_of('one', replace(ASK, prompt=f'q{i}'), 0)\n"
        "    store.transact([partial(store.keep, [request], [Answer(Completion('word ' * 400))], 9)])\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "s")])
    assert killed.returncode == -signal.SIGKILL
    assert exchange.export(tmp_path / "s", tmp_path / "out.jsonl") == 500


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("my notes " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Store(path)
    assert path.read_text() == "my notes " * 1000


def test_a_store_of_the_future_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "s"):
        pass
    with closing(sqlite3.connect(tmp_path / "s")) as db, db:
        db.execute("UPDATE meta SET value = '99'")
    with pytest.raises(StoreError, match="newer understudy"):
        Store(tmp_path / "s")


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"(cannot be written|Check the file).*store = PATH"):
        Store(Path("/proc/understudy/answers.sqlite"))


def test_a_read_only_store_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "s", 3)
    connect = sqlite3.connect

    def read_only(path: Any, **settings: Any) -> Any:
        return connect(f"file:{path}?mode=ro", uri=True, **settings)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(StoreError, match=r"cannot be written.*store = PATH"):
        fill(tmp_path / "s", 4)
    monkeypatch.undo()
    assert exchange.export(tmp_path / "s", tmp_path / "out.jsonl") == 3


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    fill(path, 100)
    with Account(path) as account:
        account.store._db.execute("PRAGMA max_page_count = 1")  # SQLite raises it to what there is
        with pytest.raises(StoreError, match=r"no space left.*kept"):
            asks = [replace(ASK, prompt=f"new {i} " + "word " * 500) for i in range(500)]
            KeptBatches(Model(), "one", account).complete(asks)
    assert exchange.export(path, tmp_path / "out.jsonl") == 100


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_export_goes_into_another_store(tmp_path: Path, ending: str) -> None:
    fill(tmp_path / "s", 30)
    file = tmp_path / f"answers.{ending}"
    assert exchange.export(tmp_path / "s", file) == 30
    assert exchange.take_over(tmp_path / "t", file) == (30, 0)
    assert exchange.take_over(tmp_path / "t", file) == (0, 30)
    model = Model()
    with Account(tmp_path / "t") as account:
        KeptBatches(model, "one", account).complete([replace(ASK, prompt="q7 " + "word " * 50)])
    assert model.asked == []


def test_a_compact_store_has_half_the_size_and_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CHUNK", 70)
    path = tmp_path / "s"
    fill(path, 300)
    long = replace(ASK, prompt="long " * LONG)
    asked_again(path, long, long)
    exchange.export(path, tmp_path / "before.jsonl")
    with Store(path) as other:  # another process may go on meanwhile
        assert other.transact([lambda: other.set_out("r", [([b"k" * 16], Cost(1, 1))])]) == [[True]]
        with Store(path) as store, pytest.raises(KeyboardInterrupt):
            store.compact(interrupt)
        exchange.export(path, tmp_path / "half-way.jsonl")
        before, after = exchange.compact(path, Silent())
        assert other.transact([lambda: other.write([Change(released=[b"k" * 16])])]) == [None]
    exchange.export(path, tmp_path / "after.jsonl")
    assert after == path.stat().st_size < 0.6 * before
    assert exchange.compact(path, Silent()) == (after, after)
    old = (tmp_path / "before.jsonl").read_bytes()
    assert (tmp_path / "half-way.jsonl").read_bytes() == (tmp_path / "after.jsonl").read_bytes() == old
    fill(path, 310)
    with Store(path) as store:
        assert store.count() == 311


def interrupt(rows: int) -> None:
    assert rows == 70
    raise KeyboardInterrupt


def test_compact_says_what_it_saved(tmp_path: Path) -> None:
    fill(tmp_path / "s", 50)
    said = CliRunner().invoke(cli, ["store", "compact", "--store", str(tmp_path / "s")])
    assert said.exit_code == 0
    assert re.search(r"^0\.\d MB before, 0\.\d MB now$", said.stdout, re.MULTILINE)
    said = CliRunner().invoke(cli, ["store", "compact", "--store", str(tmp_path / "none")])
    assert said.exit_code != 0
    assert "no store there" in said.output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl.gz", "answers"])
def test_an_export_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match=r"ends in \.jsonl or \.parquet"):
        exchange.export(None, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_row_that_is_no_answer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "x"}\n')
    with pytest.raises(DataError, match=r"a.jsonl:1: no answer of a store"):
        exchange.take_over(tmp_path / "s", file)


def test_pruning_deletes_what_was_said_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "s"
    fill(path, 5)
    assert exchange.prune(path, "another", None, False) == 0
    assert exchange.prune(path, None, None, True) == 0
    assert exchange.prune(path, "m", None, False) == 5
    assert "answers" in exchange.overview(path)


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNDERSTUDY_STORE", str(tmp_path / "x"))
    assert default_path() == tmp_path / "x"
    monkeypatch.delenv("UNDERSTUDY_STORE")
    assert default_path().name == "answers.sqlite"


def test_a_run_that_asks_nobody_has_no_store(tmp_path: Path) -> None:
    with Account(tmp_path / "s") as account, keeping(Slow(), "one", account) as live:
        live.check()
        assert account.ledger() is None
    assert not (tmp_path / "s").exists()


def test_tokens_that_cost_no_money_are_counted_apart(tmp_path: Path) -> None:
    """One of several teachers may have no known price: the sum of dollars is not all that was used."""
    with Account(tmp_path / "s", run="r") as account:
        most = Cost(1000, 5)
        costs = [(most, cost) for cost in (Cost(100, 10), Cost(40, 0), Cost(2, 0))]
        ledger_of = account.store.ledger
        account.store.transact([lambda: ledger_of.sent("r", [most] * 3), lambda: ledger_of.ended("r", costs)])
        ledger = account.ledger()
    assert ledger is not None
    assert (ledger["tokens"], ledger["usd"], ledger["unpriced_tokens"]) == (142, "1E-11", 42)
