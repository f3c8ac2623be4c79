"""Teachers: whatever completes prompts for us. One file a way of reaching one.

teacher, problems = TEACHERS.make(Part(name="recorded", path="outputs.jsonl"))
with teacher.open(task) as live:
[[completion]] = live.complete([Ask("teacher", prompt, key="q1", sampling=Sampling())])
"""

from __future__ import annotations

from understudy.registry import Registry
from understudy.teachers.teacher import Teacher

TEACHERS: Registry[Teacher] = Registry(
    "teacher",
    {
        "local": "understudy.teachers.local:LocalTeacher",
        "mixed": "understudy.teachers.mixed:MixedTeacher",
        "none": "understudy.teachers.teacher:NoTeacher",
        "openai": "understudy.teachers.openai:OpenAITeacher",
        "openai-batch": "understudy.teachers.batch:OpenAIBatchTeacher",
        "recorded": "understudy.teachers.recorded:RecordedTeacher",
        "scripted": "understudy.teachers.scripted:ScriptedTeacher",
        "student": "understudy.teachers.student:StudentTeacher",
    },
)

__all__ = ["TEACHERS", "Teacher"]
