"""What the host makes of a worker's answer, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.sandbox.jail import protocol
from understudy.sandbox.jail.rounds import _outcome

GARBLED: list[Any] = [
    None,
    "ok",
    {},
    [],
    ["ok"],
    ["fine", 1, "", "", []],
    ["ok", 1, "", "", [], 7],
    ["ok", {"a": 1}, "", "", []],
    ["ok", ["x", 1], "", "", []],
    ["ok", ["q", 1, 0], "", "", []],
    ["ok", ["q", 1.5, 2], "", "", []],
    ["ok", ["q", "1", 2], "", "", []],
    ["ok", ["D", 3], "", "", []],
    ["ok", ["D", "x"], "", "", []],
    ["ok", ["d", 1], "", "", []],
    ["ok", ["d", ["l"], 1], "", "", []],
    ["ok", ["l", *[1] * 300], "", "", []],
    ["ok", "x" * 5000, "", "", []],
    ["ok", ["d", *[part for i in range(60000) for part in (i * (2**61 - 1), 0)]], "", "", []],
    ["ok", ["D", "1e99999"], "", "", []],
    ["ok", 1, 2, "", []],
    ["ok", 1, "", None, []],
    ["ok", 1, "", "", [[1, "x"]]],
    ["ok", 1, "", "", [["1", "x", 2]]],
    ["error", 1, "", "", []],
    [["ok"], 1, "", "", []],
]


@pytest.mark.parametrize("result", GARBLED, ids=lambda result: repr(result)[:40])
def test_a_garbled_result_is_no_outcome(result: Any) -> None:
    try:
        assert _outcome(result) is None
    except (protocol.GarbledError, TypeError, ValueError, ArithmeticError, LookupError):
        return


@pytest.mark.parametrize("packed", [1, 0.1, None, True, "x", ["q", 1, 3], ["l", ["t", 1]], ["d", "a", ["D", "1.10"]]])
def test_a_result_that_is_one_is_read_and_comes_back(packed: Any) -> None:
    outcome = _outcome(["ok", packed, "", "", []])
    assert outcome is not None
    assert protocol.pack(outcome.value) == packed
