"""The key of an endpoint: where it comes from, and how it is kept out of everything else.

    Key("sk-1234567890").taken_out({"error": "no such key: sk-1234567890"})     # {"error": "no such key: ***"}

It comes from the environment or from a file that only its owner can read and that lies outside the run. An endpoint may
say it again, plain, escaped, in Base64 or as part of an address; none of these reaches a completion, a file or an error.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

from understudy.errors import PrerequisiteError, TeacherError

_SHORTEST = 8
"""Characters. What is shorter is a word such as EMPTY, and no secret."""


class Key:
    """A key and all the forms in which an endpoint may say it again. `text` is "" if no key is sent."""

    def __init__(self, text: str) -> None:
        self.text = text
        plain = {text, json.dumps(text)[1:-1], quote(text), quote(text, safe="")}
        forms = plain | _in_base64(text) if len(text) >= _SHORTEST else set()
        ordered = sorted(map(re.escape, forms), key=len, reverse=True)
        self._said = re.compile("|".join(ordered)) if ordered else None

    def __repr__(self) -> str:
        return "Key(***)"

    def taken_out(self, said: Any) -> Any:
        """Text, or JSON with text in it, with `***` in place of the key."""
        if self._said is None:
            return said
        if isinstance(said, str):
            return self._said.sub("***", said)
        if isinstance(said, list):
            return [self.taken_out(each) for each in said]
        if isinstance(said, dict):
            return {self.taken_out(name): self.taken_out(value) for name, value in said.items()}
        return said


def _in_base64(text: str) -> set[str]:
    """What Base64 makes of the key wherever it stands in a longer text, but for what its neighbours have a part in."""
    found = set()
    for before in range(3):
        content = b"\0" * before + text.encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Six bits a character: cut those that hold bits of what stands before or after.
            found.add(encode(content).decode()[-(-8 * before // 6) : 8 * len(content) // 6])
    return found


def from_file(path: Path) -> str:
    """The key in a file.

    Raises:
        PrerequisiteError: it is not there, or others may read it.
        TeacherError: it lies where it would be published: in a run, or in a folder that git keeps.
    """
    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise PrerequisiteError(f"{path} holds a key and others may read it. Close it:  chmod 600 '{path}'")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise PrerequisiteError(
            f"{path}: no key can be read ({reason}). Expected a file with the key alone; api_key_file names it"
        ) from None
    folders = path.resolve().parents
    run = next((folder for folder in folders if (folder / "manifest.json").exists()), None)
    if run is not None:
        raise TeacherError(f"{path} holds a key and lies in the run {run}, which may be shared. Move it out of there")
    kept_by_git = next((folder for folder in folders if (folder / ".git").exists()), None)
    if kept_by_git is not None and kept_by_git != Path.home():
        raise TeacherError(
            f"{path} holds a key and lies in {kept_by_git}, which git keeps. Move it out of there, e.g. to your home"
        )
    return text
