"""The command, called as a user does, and a small configuration for it."""

from __future__ import annotations

from click.testing import CliRunner, Result

from understudy.cli import cli

SMALL = """
task = { name = "wordsums", train = 40, test = 10 }
method = "pad"
teacher = "scripted"
student = "nearest"
sandbox = { timeout_s = 0.5 }
"""


def understudy(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def fails(code: int, *words: object) -> str:
    result = understudy(*words)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr
