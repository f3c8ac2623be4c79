"""The system-call filter, decided by hand for both architectures; and other architectures, where nothing may run."""

from __future__ import annotations

import itertools
import platform
import struct
import sys

import pytest

from understudy.errors import SandboxError
from understudy.sandbox import Sandbox
from understudy.sandbox.jail import canary, lane, seccomp

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
ANSWER, EXECUTABLE = 7, 4
Machine = pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)


def decide(machine: str, number: int, *arguments: int, serves: bool = False, audit: int | None = None) -> int:
    """What the kernel would read out of the filter for one call."""
    architecture = seccomp.ARCHITECTURES[machine]
    steps = list(struct.iter_unpack("HBBI", seccomp._program(architecture, ANSWER, serves)))
    padded = [*arguments, *[0] * (6 - len(arguments))]
    call = struct.pack("IIQ6Q", number, architecture.audit if audit is None else audit, 0, *padded)
    at = word = 0
    while True:
        what, then, otherwise, value = steps[at]
        at += 1
        if what == 0x06:
            return int(value)
        if what == 0x20:
            (word,) = struct.unpack_from("I", call, value)
        else:
            holds = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[what]
            at += then if holds else otherwise


@Machine
def test_only_the_calls_of_the_table_pass(machine: str) -> None:
    calls = seccomp.ARCHITECTURES[machine].calls
    passing = {number for number in range(1024) if decide(machine, number, ANSWER) == ALLOW}
    assert passing == {number for name, number in calls.items() if name not in ("setitimer", "recvfrom", "clone3")}
    serving = {number for number in range(1024) if decide(machine, number, ANSWER, serves=True) == ALLOW}
    assert serving - passing == {calls["setitimer"], calls["recvfrom"]}


@Machine
def test_no_call_of_the_canary_passes(machine: str) -> None:
    for number, serves in itertools.product(canary._NUMBERS[machine].values(), (False, True)):
        assert decide(machine, number, ANSWER, serves=serves) == EPERM


@Machine
@pytest.mark.parametrize("name", ["mmap", "mprotect"])
def test_memory_is_never_executable(machine: str, name: str) -> None:
    number = seccomp.ARCHITECTURES[machine].calls[name]
    found = {protection: decide(machine, number, 0, 4096, protection) for protection in range(8)}
    assert found == {protection: EPERM if protection & EXECUTABLE else ALLOW for protection in range(8)}


@Machine
def test_an_answer_goes_to_its_descriptor_and_to_no_address(machine: str) -> None:
    number = seccomp.ARCHITECTURES[machine].calls["sendto"]
    assert decide(machine, number, ANSWER, 1, 1, 0, 0, 0) == ALLOW
    assert decide(machine, number, ANSWER + 1, 1, 1, 0, 0, 0) == EPERM
    assert decide(machine, number, ANSWER, 1, 1, 0, 4096, 16) == EPERM
    assert decide(machine, number, ANSWER, 1, 1, 0, 2**32, 16) == EPERM


@Machine
def test_another_table_of_calls_ends_the_process(machine: str) -> None:
    getpid = seccomp.ARCHITECTURES[machine].calls["getpid"]
    assert decide(machine, getpid) == ALLOW
    assert decide(machine, getpid, audit=0x40000003) == KILL
    assert decide(machine, getpid | 0x40000000) == KILL


def test_a_process_with_clone3_is_told_that_the_kernel_has_none() -> None:
    assert {decide(machine, 435) for machine in seccomp.ARCHITECTURES} == {ENOSYS}


def on(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    """Have runners take this machine for another."""
    fake = f"import platform\nplatform.machine = lambda: {machine!r}\nfrom understudy"
    monkeypatch.setattr(lane, "_BOOT", lane._BOOT.replace("from understudy", fake, 1))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's")
@pytest.mark.parametrize("machine", ["riscv64", "ppc64le", "armv7l", "i686", ""])
def test_an_architecture_without_a_table_has_no_jail_and_falls_back_to_monty(
    monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    on(monkeypatch, machine)
    with (
        pytest.raises(SandboxError, match=f"no system-call table for the architecture {machine}"),
        Sandbox(engine="cpython"),
    ):
        pass
    with Sandbox() as sandbox:
        assert sandbox.engine.startswith("monty ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the jail is Linux's")
def test_a_python_that_is_wrong_about_its_architecture_runs_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"x86_64": "aarch64", "aarch64": "x86_64"}
    on(monkeypatch, other[platform.machine()])
    with (
        pytest.raises(SandboxError, match="the canary ended without an answer: Bad system call"),
        Sandbox(engine="cpython"),
    ):
        pass
    with Sandbox() as sandbox:
        assert sandbox.engine.startswith("monty ")
