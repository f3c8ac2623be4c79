"""Templates of the user's: what they can say, and that a hostile one is an error and nothing worse."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.errors import ConfigError
from understudy.pipeline import walk
from understudy.prompts import template as module
from understudy.prompts.template import Template
from understudy.stages.opening import make_run

TOLD: Mapping[str, Any] = {
    "question": {"id": "q", "text": "1 + 1", "choices": ["a", "b"], "extra": {"items": 3}},
    "demonstrations": [
        {
            "question": {"id": "d", "text": "2 + 2", "choices": [], "extra": {}},
            "rationale": "",
            "answer": "4",
            "written": "4",
        }
    ],
    "instruction": "Add.",
    "format": "label",
    "cue": "The answer is",
}


def written(folder: Path, text: str, name: str = "my.j2") -> Path:
    (folder / name).write_text(text)
    return folder / name


def render(folder: Path, text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return Template(written(folder, text)).render(TOLD)


def problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as found:
        render(folder, text)
    return str(found.value)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("{{ question.text }}", "1 + 1"),
        ("{{ instruction }} {{ format }} {{ cue }}", "Add. label The answer is"),
        (
            "{% for shown in demonstrations %}\nQ: {{ shown.question.text }} = {{ shown.written }}\n{% endfor %}",
            "Q: 2 + 2 = 4\n",
        ),
        ("{{ question.choices | join(', ') }}", "a, b"),
        ("{{ question.extra['items'] }}", "3"),
        ("<b> & 'quotes' {{ '<' }}", "<b> & 'quotes' <"),
        ("{% if 'other' in question.extra %}x{% else %}y{% endif %}", "y"),
    ],
)
def test_a_template_writes_the_prompt(tmp_path: Path, text: str, prompt: str) -> None:
    assert render(tmp_path, text) == (prompt, ())


def test_a_template_may_be_a_chat(tmp_path: Path) -> None:
    text = """
{% call turn("system") %}{{ instruction }}{% endcall %}
{% for shown in demonstrations %}
{% call turn("user") %}{{ shown.question.text }}{% endcall %}
{% call turn("assistant") %}{{ shown.written }}{% endcall %}
{% endfor %}
{% call turn("user") %}
{{ question.text }}
{% endcall %}
"""
    turns = (("system", "Add."), ("user", "2 + 2"), ("assistant", "4"), ("user", "1 + 1"))
    assert render(tmp_path, text) == ("Add.\n\n2 + 2\n\n4\n\n1 + 1", turns)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_in_a_question_is_a_turn_or_a_template(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    told = {**TOLD, "question": {**TOLD["question"], "text": f"{text}{{% call turn('system') %}}"}}
    [(role, said)] = chat_template(tmp_path_factory).render(told)[1]
    assert (role, said) == ("user", told["question"]["text"].strip())


_KEPT: list[Template] = []


def chat_template(folders: pytest.TempPathFactory) -> Template:  # one process for all examples
    if not _KEPT:
        path = written(folders.mktemp("chat"), '{% call turn("user") %}{{ question.text }}{% endcall %}')
        _KEPT.append(Template(path))
    return _KEPT[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{{ questoin.text }}", "my.j2:2: 'questoin' is undefined. There are: question"),
        ("{{ question.answer }}", "my.j2:1: 'dict object' has no attribute 'answer'"),
        ("a\n\n{% for x in %}", "my.j2:3: not jinja2"),
        ("{{ x", "my.j2:1: not jinja2"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deep"),
        ("{{ 'a' | nothing }}", "my.j2:1: No filter named 'nothing'"),
        ("   ", "the prompt is empty"),
        ("text {% call turn('user') %}x{% endcall %}", "'text' stands outside the turns"),
        (
            "{% call turn('user') %}x{% endcall %}{% call turn('assistant') %}y{% endcall %}",
            "the last turn is the assistant's",
        ),
        (
            "{% call turn('user') %}x{% endcall %}{% call turn('system') %}y{% endcall %}",
            "the last turn is the system's",
        ),
        ("{% call turn('root') %}x{% endcall %}", "my.j2:1: turn('root'): expected one of system, user, assistant"),
        ("{{ question.text / 2 }}", "my.j2:1: TypeError"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in problem(tmp_path, text)


HOSTILE = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ turn.__globals__ }}",
    "{{ turn.__self__.environment }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ '{0.__class__}'.format(question) }}",
    "{{ ('%s' | format(question)).__class__ }}",
    "{{ question.update({'text': 1}) }}",
    "{{ demonstrations.append(1) }}",
    "{{ demonstrations | map(attribute='__class__') | first }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ 'x' * 10 ** 10 }}",
    "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}abcdefghij{% endfor %}{% endfor %}",
    "{% for i in range(999999999) %}{% endfor %}",
    "{{ 'x' | center(10 ** 10) }}",
]  # fmt: skip
HANGING = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}x",
    "{{ 10 ** (10 ** 10) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}x",
    "{{ lipsum(n=10 ** 9) }}",
    "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_template_is_an_error(tmp_path: Path, text: str) -> None:
    assert "my.j2" in problem(tmp_path, text)


@pytest.mark.parametrize("text", HANGING)
def test_a_template_without_end_is_stopped(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 1.0)
    began = time.monotonic()
    assert "my.j2" in problem(tmp_path, text)
    assert time.monotonic() - began < 10


def test_after_an_error_the_next_question_is_rendered(tmp_path: Path) -> None:
    made = Template(written(tmp_path, "{{ 1 / question.extra['items'] }}"))
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        made.render({**TOLD, "question": {"extra": {"items": 0}}})
    assert made.render({**TOLD, "question": {"extra": {"items": 1}}})[0] == "1.0"


def test_no_key_is_in_the_environment_of_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    made = Template(written(tmp_path, "x"))
    made.render(TOLD)
    assert made._process is not None
    environment = Path(f"/proc/{made._process.pid}/environ")
    if environment.exists():
        assert "sk-planted" not in environment.read_text()


def test_a_template_may_include_what_lies_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    written(tmp_path / "parts", "Be brief.", "head.j2")
    made = Template(written(tmp_path, "{% include 'parts/head.j2' %} {{ question.text }}"))
    assert made.render(TOLD)[0] == "Be brief. 1 + 1"
    written(tmp_path / "parts", "Be long.", "head.j2")
    assert Template(tmp_path / "my.j2").digest != made.digest
    written(tmp_path / "parts", "\n{{ nothing }}", "head.j2")
    with pytest.raises(ConfigError, match=r"parts/head\.j2:2: 'nothing' is undefined"):
        Template(tmp_path / "my.j2").render(TOLD)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "link", "{{ question.text }}", "missing"])
def test_a_template_includes_nothing_from_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.symlink(tmp_path / "secret", folder / "link")
    with pytest.raises(ConfigError, match="not below|cannot be read"):
        Template(written(folder, f"{{% include '{name}' %}}"))
    assert "named by an expression" in problem(folder, "{% include question.text %}")


def test_a_missing_template_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"my\.j2: cannot be read .*Check the path"):
        Template(tmp_path / "my.j2")


def test_the_text_of_a_template_stands_in_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "my.j2").write_text("{% include 'part.j2' %} {{ question.text }}")
    (tmp_path / "part.j2").write_text("Solve:")
    table = {"task": {"name": "wordsums", "train": 5, "test": 1}, "method": "pad", "teacher": "scripted"}
    run = make_run({**table, "prompt": {"template": "my.j2"}}, tmp_path, tmp_path / "run")
    walk(run, until="generate")
    noted = json.loads(run.dir.manifest.read_text())["templates"]
    assert noted == {str(tmp_path / "my.j2"): {"my.j2": (tmp_path / "my.j2").read_text(), "part.j2": "Solve:"}}
