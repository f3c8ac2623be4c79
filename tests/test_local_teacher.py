"""The teacher `local`: a model of any folder, asked in its chat template or continued, whatever batch it is in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from doubles import Sums, run_of
from students import DECODER, EXAMPLES, LLAMA, SEQ2SEQ, chat_folder, model_folder
from understudy import jsonl
from understudy.config import Part
from understudy.errors import PrerequisiteError, TeacherError
from understudy.methods.single_task import SingleTask
from understudy.pipeline import walk
from understudy.procedures import Ask, Completer
from understudy.records import Completion, Sampling
from understudy.students.encoding import Encoding
from understudy.students.student import Student
from understudy.teachers import TEACHERS
from understudy.teachers.local import LocalTeacher

WARM = Sampling(temperature=1.5, max_tokens=6)
NO_SYSTEM = '{% if messages[0].role == "system" %}{{ raise_exception("no system message, please") }}{% endif %}x'
IGNORES_SYSTEM = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder of each architecture, and one with a chat template."""
    root = tmp_path_factory.mktemp("models")
    found = {spec: model_folder(root / spec.removeprefix("scratch:"), spec) for spec in (DECODER, LLAMA, SEQ2SEQ)}
    return {**found, "chat": chat_folder(root / "chat")}


@contextmanager
def opened(folder: Path | str, **settings: Any) -> Iterator[Completer]:
    with LocalTeacher(model=str(folder), device="cpu", **settings).open(Sums()) as live:
        assert isinstance(live, Completer)
        yield live


def prompts_read(live: Any, *prompts: str) -> list[str]:
    """What the model gets to see, special tokens included."""
    encoder = live._student.encoder
    return [encoder.tokenizer.decode(encoder.prompt(prompt)) for prompt in prompts]


def asks(sampling: Sampling = WARM, n: int = 1) -> list[Ask]:
    return [Ask("teacher", f"Q: {e.prompt}\nA:", n=n, sampling=sampling, seed=i) for i, e in enumerate(EXAMPLES)]


@pytest.mark.parametrize("spec", [DECODER, LLAMA, SEQ2SEQ, "chat"])
@pytest.mark.parametrize("sampling", [Sampling(max_tokens=6), WARM])
def test_a_completion_depends_neither_on_the_batch_nor_on_the_asks_beside_it(
    folders: dict[str, Path], spec: str, sampling: Sampling
) -> None:
    together = [*asks(sampling, n=2), Ask("teacher", "a " * 30, sampling=sampling), Ask("teacher", "x", prefix="def")]
    with opened(folders[spec], batch_size=1) as live:
        alone = [live.complete([ask])[0] for ask in together]
    for batch_size in (3, 64):
        with opened(folders[spec], batch_size=batch_size) as live:
            assert live.complete(together) == alone
            assert live.complete(together[::-1]) == alone[::-1]


def test_the_same_seed_samples_the_same_and_more_samples_begin_with_the_same(folders: dict[str, Path]) -> None:
    ask = Ask("teacher", "Ann has", n=4, sampling=WARM, seed=1)
    with opened(folders[DECODER]) as live:
        [four] = live.complete([ask])
        assert len({completion.text for completion in four}) == 4
        assert live.complete([replace(ask, n=2, first_sample=2)]) == [four[2:]]
        assert live.complete([replace(ask, seed=2)]) != [four]


def test_a_completion_knows_its_model_and_its_tokens(folders: dict[str, Path]) -> None:
    tokens = AutoTokenizer.from_pretrained(folders[DECODER])
    with opened(folders[DECODER]) as live:
        [[completion]] = live.complete([Ask("teacher", "Ann has", sampling=WARM, seed=1)])
    assert completion.model == folders[DECODER].name
    assert completion.prompt_tokens == len(tokens.encode("Ann has"))  # nothing is added where there is no template
    assert 0 < (completion.completion_tokens or 0) <= 6


def test_without_a_template_the_prompt_is_continued_up_to_the_next_question(folders: dict[str, Path]) -> None:
    with opened(folders[DECODER]) as live:
        assert prompts_read(live, "Q: 1 + 1\nA:") == ["Q: 1 + 1\nA:"]
        [[free]] = live.complete([Ask("teacher", "Ann", sampling=replace(WARM, max_tokens=60), seed=3)])
    stop = free.text[5:7]

    class Runs(Sums):
        next_question = (stop,)

    with LocalTeacher(model=str(folders[DECODER]), device="cpu").open(Runs()) as live:
        assert isinstance(live, Completer)
        [[cut]] = live.complete([Ask("teacher", "Ann", sampling=replace(WARM, max_tokens=60), seed=3)])
    assert (cut.text, cut.finish) == (free.text[: free.text.index(stop)], "stop")


def test_the_chat_template_shows_the_prompt_as_a_message_and_the_prefix_continues_the_answer(
    folders: dict[str, Path],
) -> None:
    with opened(folders["chat"], system="Be brief.", chat_options={"polite": True}) as live:
        assert prompts_read(live, "1 + 1?") == ["<|end|>system: Be brief.\nuser: 1 + 1?\nplease\nassistant: "]
        [[whole]] = live.complete([Ask("teacher", "1 + 1?", sampling=Sampling(max_tokens=6))])
        [[rest]] = live.complete([Ask("teacher", "1 + 1?", prefix="So", sampling=Sampling(max_tokens=6))])
    assert (rest.prompt_tokens or 0) > (whole.prompt_tokens or 0)
    with opened(folders["chat"]) as live:
        assert prompts_read(live, "1 + 1?") == ["<|end|>user: 1 + 1?\nassistant: "]  # the first token once
    with opened(folders["chat"], chat=False) as live:
        assert prompts_read(live, "1 + 1?") == ["<|end|>1 + 1?"]


def test_the_answers_are_those_of_plain_transformers(folders: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM

    tokenizer, model = (kind.from_pretrained(folders["chat"]) for kind in (AutoTokenizer, AutoModelForCausalLM))
    turn = [{"role": "user", "content": "Ann has 2 apples?"}]
    read = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**read, max_new_tokens=8, do_sample=False)[0, read["input_ids"].shape[1] :]
    with opened(folders["chat"]) as live:
        [[completion]] = live.complete([Ask("teacher", "Ann has 2 apples?", sampling=Sampling(max_tokens=8))])
    assert completion.text == tokenizer.decode(written, skip_special_tokens=True)


def test_a_prompt_over_the_positions_fails_with_its_reason_and_the_others_do_not(folders: dict[str, Path]) -> None:
    with opened(folders[DECODER]) as live:
        [[long], [short]] = live.complete([Ask("teacher", "a " * 100), Ask("teacher", "a", sampling=WARM)])
    assert (long.text, long.finish) == ("", "length")
    assert "the model has 96 positions" in long.error
    assert short.finish in ("stop", "length")


SPOILED: list[tuple[str, dict[str, Any], str]] = [
    (DECODER, {"chat": True}, "has no chat template. Set teacher.chat=false"),
    (DECODER, {"system": "s"}, "takes no system message .its prompts are continued"),
    (NO_SYSTEM, {"system": "s"}, "takes no system message .its chat template says: no system message, please"),
    (IGNORES_SYSTEM, {"system": "s"}, "takes no system message .its chat template leaves it out"),
    (DECODER, {"device": "cuda:77"}, "teacher.device = 'cuda:77' cannot be used"),
    (DECODER, {"device": "abacus"}, "teacher.device = 'abacus' cannot be used"),
]


@pytest.mark.parametrize(("which", "settings", "message"), SPOILED)
def test_what_the_model_cannot_do_is_told_before_it_is_asked(
    folders: dict[str, Path], tmp_path: Path, which: str, settings: dict[str, Any], message: str
) -> None:
    folder = folders[which] if which in folders else chat_folder(tmp_path / "m", which)
    teacher = LocalTeacher(model=str(folder), **{"device": "cpu", **settings})
    with pytest.raises(TeacherError, match=message), teacher.open(Sums()):
        pass


def test_a_folder_that_is_no_model_or_has_only_pickles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"the teacher cannot be loaded: .* has no config\.json"), opened(tmp_path):
        pass
    folder = model_folder(tmp_path / "m", DECODER)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(TeacherError, match="only pickled weights"), opened(folder):
        pass
    with pytest.raises(TeacherError, match="no model is named"), opened(""):
        pass


def test_a_model_that_has_learned_nothing_cannot_teach() -> None:
    teacher, [problem] = TEACHERS.make(Part(name="local", model="scratch:gpt2-tiny"))
    assert teacher is None
    assert "has learned nothing" in problem


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'understudy\[train\]'"), opened("x"):
        pass


def test_settings_are_read_without_torch() -> None:
    program = (
        "import sys; from understudy.teachers import TEACHERS; from understudy.config import Part;"
        "print([TEACHERS.make(Part(name=n, model='x'))[1] for n in ('local', 'student')],"
        "sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[[], []] []"


def test_out_of_memory_says_which_number_to_lower(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def fails(student: Student, asks: Sequence[Ask]) -> list[list[Completion]]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Student, "complete", fails)
    with opened(folders[DECODER]) as live, pytest.raises(TeacherError, match=r"teacher.batch_size = 16.*is kept"):
        live.complete(asks())


def test_half_precision_is_taken_when_asked_for(folders: dict[str, Path]) -> None:
    with opened(folders[DECODER], dtype="bfloat16") as live:
        assert str(live._student.model.dtype) == "torch.bfloat16"  # type: ignore[attr-defined]
        assert all(completion.finish != "failed" for [completion] in live.complete(asks()))
    with opened(folders[DECODER]) as live:
        assert str(live._student.model.dtype) == "torch.float32"  # type: ignore[attr-defined]


def edit_config(folder: Path) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [1, 7]}))


CHANGES: dict[str, Callable[[Path], object]] = {
    "weights": lambda folder: (folder / "model.safetensors").write_bytes(b"others"),
    "end tokens": edit_config,
    "template": lambda folder: (folder / "chat_template.jinja").write_text("x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_identity_follows_what_the_answers_follow_from(tmp_path: Path, change: str) -> None:
    folder = chat_folder(tmp_path / "a")
    identity = LocalTeacher(model=str(folder)).identity()
    (folder / "README.md").write_text("another card")
    assert LocalTeacher(model=str(folder), device="cpu", batch_size=3).identity() == identity
    folder = folder.rename(tmp_path / "moved")
    assert LocalTeacher(model=str(folder)).identity() == identity
    CHANGES[change](folder)
    assert LocalTeacher(model=str(folder)).identity() != identity


def test_the_identity_holds_what_the_prompt_is_shown_with() -> None:
    teacher = LocalTeacher(model="owner/name")
    assert "owner/name@main" in teacher.identity()
    others = (
        {"revision": "abc"},
        {"system": "s"},
        {"chat": False},
        {"dtype": "float32"},
        {"chat_options": {"thinking": False}},
    )
    assert len({teacher.model_copy(update=other).identity() for other in ({}, *others)}) == 6


def test_a_folder_is_found_beside_the_configuration(folders: dict[str, Path]) -> None:
    parent, name = folders[DECODER].parent, folders[DECODER].name
    teacher, problems = TEACHERS.make(Part(name="local", model=name), [parent])
    assert problems == []
    assert teacher is not None
    assert teacher.model == str(parent / name)
    hub, _ = TEACHERS.make(Part(name="local", model="owner/name"), [parent])
    assert hub is not None
    assert hub.model == "owner/name"


def test_an_encoding_without_chat_settings_is_written_as_before() -> None:
    assert Encoding.from_json(Encoding("decoder").to_json()) == Encoding("decoder")
    assert Encoding("decoder").to_json() == {"architecture": "decoder"}
    told = Encoding("decoder", chat=True, system="s", chat_options={"thinking": False})
    assert Encoding.from_json(json.loads(json.dumps(told.to_json()))) == told


def test_it_writes_the_completions_of_a_run(tmp_path: Path, folders: dict[str, Path]) -> None:
    teacher = LocalTeacher(model=str(folders["chat"]), device="cpu")
    run = run_of(tmp_path, SingleTask(), teacher, generate={"max_tokens": 5, "samples": 2})
    walk(run, until="generate")
    rows = list(jsonl.read(run.dir.completions("rationale")))
    assert len(rows) == 24
    assert {row["model"] for row in rows} == {"chat"}
