"""A throw-away place where a hostile program meets no wall, to see that it would do its harm if there were none.

    echo '[{"id": "files/read: open", "program": "ans = open(...)", "hung": false}]' | python stage.py
    {"files/read: open": ["read"]}

    (with the folder `tests` in PYTHONPATH and a secret word in UNDERSTUDY_CANARY)

Not part of the sandbox: the programs run in a plain Python that trusts them. The place is a set of fresh namespaces
(processes, network, files, users) in which every file system is read-only but a small one in memory, there is no
network but a loopback of its own, the user is nobody, and processes, memory and time are capped. What there is to harm
is planted here: a file with a secret word, listeners, a sibling process, the program that runs next.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import io
import json
import os
import pickle
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

from attacks.victim import VALUE, VICTIM

NOBODY = 65534
MEMORY, PROCESSES, PRINTED = 500 * 2**20, 200, 65_536
HUNG_S, SLOW_S = 0.3, 6.0
LOADED = (
    "numpy", "sympy", "fileinput", "mmap", "importlib.resources", "csv", "sqlite3", "zipfile", "logging.handlers", "glob",
    "multiprocessing.context", "multiprocessing.popen_fork", "pty", "concurrent.futures.thread", "dataclasses", "asyncio",
    "http.client", "urllib.request", "pprint", "queue", "difflib", "unittest.mock", "shutil", "tempfile", "ctypes",
    "random", "calendar", "statistics", "pickle", "inspect", "timeit", "tokenize", "linecache", "codecs", "pwd",
    "configparser", "encodings.idna", "faulthandler", "select", "array", "textwrap", "contextlib",
    "sympy.parsing.sympy_parser", "numpy.lib.format", "sympy.sets.setexpr", "_posixsubprocess", "threading",
)  # fmt: skip
_NEW = 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
_NEW_USER = 0x10000000
_ENDING = 0x4  # PF_EXITING of the kernel's sched.h
_SIBLING = """
import ctypes, os, struct, time
try:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
except OSError:
    pass
ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
os.write(1, b".")
time.sleep(1000)
"""
_libc = ctypes.CDLL(None, use_errno=True)
_NEEDED = (__file__, sys.prefix, sys.base_prefix)
FOLDER = next(
    folder
    for folder in ("/tmp", "/var/tmp", "/mnt", "/media", "/srv")
    if os.path.isdir(folder) and not any(os.path.realpath(path).startswith(f"{folder}/") for path in _NEEDED)
)
"""What the stage is built in: an empty file system covers it, so nothing that is needed may lie there."""


def enter() -> None:
    """Enter the namespaces; goes on in the first process of the new one."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW):
        if _libc.unshare(_NEW | _NEW_USER):
            sys.exit(f"no throw-away namespace here: {os.strerror(ctypes.get_errno())}")
        for name, text in (("setgroups", "deny"), ("gid_map", f"0 {group} 1"), ("uid_map", f"0 {user} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    first = os.fork()
    if first:
        _, status = os.waitpid(first, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    _libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    _mount(b"none", b"/", None, 0x4000 | 0x40000)  # what is mounted here is seen here only
    with open("/proc/self/mounts") as mounts:
        places = [line.split()[1].encode().decode("unicode_escape") for line in mounts]
    _mount(b"proc", b"/proc", b"proc", 0)
    for place in places:
        _mount(b"none", os.fsencode(place), None, 0x20 | 0x1 | 0x1000)
    _mount(b"tmpfs", os.fsencode(FOLDER), b"tmpfs", 0)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))
    try:
        open(__file__, "r+").close()
    except OSError:
        return
    sys.exit("the throw-away namespace is not: this file can be written")


def _mount(source: bytes, place: bytes, kind: bytes | None, flags: int) -> None:
    _libc.mount(source, place, kind, ctypes.c_ulong(flags), None)


class Stage:
    """What is planted in the folder `place`, and what has become of it."""

    def __init__(self, place: str, word: str) -> None:
        self.place, self.word = place, word
        self.sibling: subprocess.Popen[bytes] | None = None
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.abstract, self.unix = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{place}")
        self.listeners = [self.tcp, self.udp, self.abstract, self.unix]
        self.plant()
        self.unix.bind(f"{place}.unix")
        os.chmod(f"{place}.unix", 0o777)
        for listener in (self.abstract, self.unix):
            listener.listen()
        for listener in self.listeners:
            listener.setblocking(False)

    def plant(self) -> None:
        """Put everything in order for the next program."""
        shutil.rmtree(self.place, ignore_errors=True)
        os.mkdir(self.place)
        with open(f"{self.place}/secret", "w") as file:
            file.write(self.word)
        for place in (self.place, f"{self.place}/secret"):
            os.chmod(place, 0o777 if os.path.isdir(place) else 0o666)
            with contextlib.suppress(OSError):
                os.chown(place, NOBODY, NOBODY)
        self.before = self.seen()
        if not self.alive():
            if self.sibling is not None:
                self.sibling.kill()
                self.sibling.wait()
            self.sibling = subprocess.Popen(
                [sys.executable, "-S", "-c", _SIBLING],
                stdout=subprocess.PIPE,
                env={"UNDERSTUDY_CANARY": self.word},
            )
            assert self.sibling.stdout is not None
            self.sibling.stdout.read(1)
            self.sibling.stdout.close()

    def alive(self) -> bool:
        """Whether the sibling still is, does not end right now, and no signal is on its way to it."""
        if self.sibling is None or self.sibling.poll() is not None:
            return False
        with open(f"/proc/{self.sibling.pid}/status") as status:
            pending = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:"))]
        with open(f"/proc/{self.sibling.pid}/stat") as stat:
            flags = int(stat.read().rpartition(")")[2].split()[6])
        return not any(pending) and not flags & _ENDING

    def seen(self) -> object:
        """The state of the planted folder."""
        secret = f"{self.place}/secret"
        state = os.stat(secret) if os.path.exists(secret) else None
        return sorted(os.listdir(self.place)), state and (
            state.st_mtime_ns,
            state.st_size,
            state.st_mode,
            state.st_nlink,
        )

    def fill(self, program: str) -> str:
        """The program with what is planted here in the place of its marks."""
        assert self.sibling is not None
        words = {
            "SECRET": f"{self.place}/secret", "OUT": f"{self.place}/out", "DIR": self.place, "WORD": self.word,
            "TCP": str(self.tcp.getsockname()[1]), "UDP": str(self.udp.getsockname()[1]),
            "UNIX": f"{self.place}.unix", "ABSTRACT": self.place, "SIBLING": str(self.sibling.pid),
        }  # fmt: skip
        for mark, word in words.items():
            program = program.replace(f"@{mark}@", word)
        return program

    def called(self) -> bool:
        """Whether somebody has connected or sent."""
        calls = 0
        for listener in self.listeners:
            try:
                if listener is self.udp:
                    listener.recv(100)
                else:
                    listener.accept()[0].close()
                calls += 1
            except BlockingIOError:
                continue
        return calls > 0

    def close(self) -> None:
        """Take everything away."""
        for listener in self.listeners:
            listener.close()
        if self.sibling is not None:
            self.sibling.kill()
            self.sibling.wait()
        shutil.rmtree(self.place, ignore_errors=True)
        os.unlink(f"{self.place}.unix")

    def watch(self, program: str, hung: bool) -> list[str]:
        """Run one program, in which the words already stand, and say what it did."""
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(into, 1)
            os.open(f"{self.place}/secret", os.O_RDONLY)  # as a careless host does
            mine.close()
            try:
                _become_nobody()
                _trust(program, its)
            finally:
                os._exit(70)
        its.close()
        os.close(into)
        said, printed, ended = _listen(mine, out, HUNG_S if hung else SLOW_S)
        effects = {"hung"} if not ended else set()
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        _, _, usage = os.wait4(pid, 0)
        mine.close()
        os.close(out)
        claims = [json.loads(text) for text in said if text.startswith(b'{"end')]
        if any(not text.startswith(b'{"end') for text in said):
            effects.add("forged")
        for claim in claims:
            effects |= set(claim["end"])
        if ended and not claims:
            effects.add("crashed")
        if self.word.encode() in b"".join([printed, *said]):
            effects.add("read")
        if len(printed) > PRINTED:
            effects.add("output")
        if usage.ru_maxrss > MEMORY // 2048:
            effects.add("memory")
        if self.seen() != self.before:
            effects.add("wrote")
        if self.called():
            effects.add("connected")
        if not self.alive():
            effects.add("killed")
        return sorted(effects)


def _listen(mine: socket.socket, out: int, most_s: float) -> tuple[list[bytes], bytes, bool]:
    """What the program's process says and prints until it ends, and whether it did."""
    said: list[bytes] = []
    printed = b""
    ended = False
    until = time.monotonic() + most_s
    waiting: list[Any] = [mine, out]
    while waiting and time.monotonic() < until:
        for ready in select.select(waiting, [], [], max(0.0, until - time.monotonic()))[0]:
            try:
                text = mine.recv(2**20) if ready is mine else os.read(out, 2**20)
            except OSError:
                text = b""
            if not text:
                waiting.remove(ready)
            elif ready is mine:
                said = [*said[-19:], text]
            elif len(printed) <= PRINTED:
                printed += text
            else:
                return said, printed, True
            if ready is mine and text.startswith(b'{"end'):
                ended, until = True, min(until, time.monotonic() + 0.05)  # for what it has printed
    return said, printed, ended or mine not in waiting


def _become_nobody() -> None:
    for what, most in (
        (resource.RLIMIT_NPROC, PROCESSES),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, 10),
        (resource.RLIMIT_FSIZE, 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:  # only one user is mapped here
        _libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24))
    _libc.prctl(4, 1, 0, 0, 0)
    sys.set_int_max_str_digits(4300)


def _trust(program: str, answers: socket.socket) -> None:
    """Run a program as a naive host would: in this process, and then the next one; then look at what came out."""
    effects: list[str] = []
    text = ""
    space: dict[str, Any] = {"__name__": "__main__"}
    send = answers.send
    dumps = json.dumps
    try:
        try:
            code = compile(program, "<program>", "exec")
        except SyntaxError:
            raise
        except BaseException:
            effects.append("raised")
            raise
        exec(code, space)
        answer = space.get("ans")
        if answer == ("the", "gold", "answer"):
            effects.append("fooled")
        try:
            text = repr(answer)
        except Exception:
            effects.append("raised")
            raise
        pickle.loads(pickle.dumps(answer))
    except MemoryError:
        effects.append("memory")
    except BaseException as error:
        text = text or str(error) + type(error).__name__
    if len(text) > PRINTED:
        effects.append("output")
    if text == "'reached'":
        effects.append("reached")
    space.clear()
    if sys.stdout:
        sys.stdout.flush()
    follow: dict[str, Any] = {"__name__": "__main__"}
    try:
        exec(VICTIM, follow)
        if repr(follow["ans"]) != VALUE:
            effects.append("poisoned")
    except BaseException:
        effects.append("poisoned")
    send(dumps({"end": effects, "text": text[-20_000:]}).encode())
    os._exit(0)


def main() -> None:
    """Read the programs, run each, print what they did."""
    programs = json.load(sys.stdin)
    for name in LOADED:  # nobody may not be allowed to read this Python's files
        importlib.import_module(name)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(VICTIM, {})
    enter()
    stage = Stage(f"{FOLDER}/stage", os.environ["UNDERSTUDY_CANARY"])
    found = {}
    for row in programs:
        stage.plant()
        found[row["id"]] = stage.watch(stage.fill(row["program"]), row["hung"])
    json.dump(found, sys.stdout)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
