"""Running a program that nobody trusts, and reading an expression without running anything.

    with Sandbox(timeout_s=2.0) as sandbox:
        [outcome] = sandbox.run(["def solution():\n    return 6 * 7"])
    outcome == Outcome("ok", value=42)

Programs in (batches), outcomes out, in order. A failure of the sandbox itself is a `SandboxError`, never a fault of the
program.
"""

from __future__ import annotations

from understudy.sandbox.outcome import Outcome, Status
from understudy.sandbox.sandbox import Sandbox

__all__ = ["Outcome", "Sandbox", "Status"]
