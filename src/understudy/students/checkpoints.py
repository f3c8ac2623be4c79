"""What a killed training goes on from: one folder a checkpoint, sealed when it is complete.

    student.checkpoints/checkpoint-250/   the model, optimiser, schedule and random state as transformers writes them,
                                          progress.json (ours), seal.json (written last: whose it is, every checksum)

A checkpoint without a seal, of another training, or with a file that differs from its checksum is as good as none.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.records import Record
from understudy.students.loading import put_in_place, sync

SEAL, PROGRESS = "seal.json", "progress.json"


@dataclass(frozen=True, slots=True)
class Progress(Record):
    """How far a training is, beside the weights.

    Attributes:
        step: optimiser steps done.
        best_step, best_loss: the step with the lowest validation loss yet; 0 if there was none.
        rows: the log up to here.
        open_sums: sums of the losses since the last row of the log.
        open_steps: how many steps they go over.
    """

    step: int
    best_step: int = 0
    best_loss: float = 0.0
    rows: tuple[dict[str, Any], ...] = ()
    open_sums: tuple[float, ...] = ()
    open_steps: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        folder: holds them, and nothing else; it is removed when the student is saved.
        fingerprint: of everything the training depends on; others' checkpoints are not used.
    """

    folder: Path
    fingerprint: str

    @property
    def writing(self) -> Path:
        """Where a checkpoint is written before it is sealed."""
        return self.folder / "writing"

    def path(self, step: int) -> Path:
        """The sealed checkpoint of a step."""
        return self.folder / f"checkpoint-{step}"

    def seal(self, progress: Progress) -> None:
        """Complete the checkpoint that lies in `writing`; then only the last two stay, and the best of each."""
        beside = self.writing / f"checkpoint-{progress.step}"
        (beside / "training_args.bin").unlink(missing_ok=True)  # a pickle nobody reads
        (beside / PROGRESS).write_text(json.dumps(progress.to_json()), encoding="utf-8")
        files = {path.name: checksum(path) for path in sorted(beside.iterdir())}
        for name in files:
            sync(beside / name)
        (beside / SEAL).write_text(json.dumps({"fingerprint": self.fingerprint, "files": files}), encoding="utf-8")
        sync(beside / SEAL)
        put_in_place(beside, self.path(progress.step))
        last = sorted(self._steps())[-2:]
        for step in set(self._steps()) - {*last, *(self._progress(step).best_step for step in last)}:
            shutil.rmtree(self.path(step))

    def last(self) -> Progress | None:
        """The progress of the last checkpoint that is whole, and whose best one is too; None if there is none."""
        for step in sorted(self._steps(), reverse=True):
            if not self._whole(step):
                continue
            progress = self._progress(step)
            if progress.best_step in (0, step) or self._whole(progress.best_step):
                return progress
        return None

    def remove(self, after: int | None = None) -> None:
        """Remove those after a step, or all, with what was being written."""
        if after is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        shutil.rmtree(self.writing, ignore_errors=True)
        for step in self._steps():
            if step > after:
                shutil.rmtree(self.path(step))

    def _steps(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        names = (path.name.partition("checkpoint-") for path in self.folder.iterdir())
        return [int(number) for begin, _, number in names if not begin and number.isdecimal()]

    def _progress(self, step: int) -> Progress:
        return Progress.from_json(json.loads((self.path(step) / PROGRESS).read_text(encoding="utf-8")))

    def _whole(self, step: int) -> bool:
        folder = self.path(step)
        try:
            seal = json.loads((folder / SEAL).read_text(encoding="utf-8"))
            return bool(
                seal["fingerprint"] == self.fingerprint
                and all(checksum(folder / name) == value for name, value in seal["files"].items())
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False


def checksum(path: Path) -> int:
    """CRC-32 of a file's bytes: finds accidents, not attacks."""
    value = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def checksums(paths: Iterable[Path]) -> list[tuple[str, int]]:
    """(name, checksum) of each file; a folder stands for the files in it."""
    found: list[tuple[str, int]] = []
    for path in paths:
        files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
        found.extend((file.name, checksum(file)) for file in files)
    return found
