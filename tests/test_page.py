from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invented import HOSTILE, PROGRAM, make_run
from understudy.errors import RunError
from understudy.report.page import render_text_table, to_toml, write_card, write_report


class Seen(HTMLParser):
    """The tags and attributes of a page, and the text outside of them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.chunks: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data
        self.chunks.append(data)


def page(tmp_path: Path, *runs: Path) -> str:
    write_report(runs, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def words(html: str) -> str:
    return " ".join(" ".join(Seen(html).chunks).split())


def test_the_page_answers_how_good_how_sure_and_where_it_fails(tmp_path: Path) -> None:
    shown = words(page(tmp_path, make_run(tmp_path / "pad", right=30, of=40)))
    for fact in (
        "75.0 %",
        "59.8–85.8",
        "asked 100",
        "kept 80",
        "examples 72",
        "wrong_answer",
        "1.23 M",
        "2.41 k, to write 96 label, 611 rationale",
        "$0.31",
        "requests sent 104",
        "of unknown outcome 2 counted at the most",
        "tokens 51,200",
        "from the store 17",
        "budget $5.00",
        "name_error",
    ):
        assert fact in shown


def test_a_price_without_that_of_one_teacher_is_at_least_what_is_known(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["ledger"]["unpriced_tokens"] = 12345
    (run / "manifest.json").write_text(json.dumps(manifest))
    shown = words(page(tmp_path, run))
    assert "≥ $0.31" in shown
    assert "dollars $0.31 without 12,345 of the tokens" in shown


def test_runs_with_votes_share_a_picture_of_each_split(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name) for name in ("five", "ten", "alone")]
    assert "Votes" not in page(tmp_path, *runs)
    points = [{"agreement": 1.0, "coverage": 0.5, "n": 20, "accuracy": 0.9, "interval": [0.7, 0.97]}]
    for run in runs[:2]:
        metrics = json.loads((run / "metrics.json").read_text())
        for split in metrics["splits"].values():
            split["coverage"] = points
        (run / "metrics.json").write_text(json.dumps(metrics))
    html = page(tmp_path, *runs)
    assert html.count('id="coverage-0-title"') == html.count("Accuracy over the share of questions answered") == 1
    assert "five: 90.0 % of 50.0 %" in html
    assert "ten: 90.0 % of 50.0 %" in html


def test_what_a_model_wrote_makes_no_tag_and_no_handler(tmp_path: Path) -> None:
    honest = Seen(page(tmp_path, make_run(tmp_path / "honest" / "pad")))
    hostile = Seen(page(tmp_path, make_run(tmp_path / "hostile" / "pad", text=HOSTILE)))
    assert hostile.tags == honest.tags
    assert not {"script", "img", "iframe", "link"} & set(hostile.tags)
    assert not [name for name, _ in hostile.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in hostile.text


def test_hostile_names_notes_and_previews_make_no_tag(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad", method="<b onclick=x>", notes=["<script>alert(1)</script>"])
    path = run / "students/student.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "preview": HOSTILE}))
    seen = Seen(page(tmp_path, run))
    assert not {"script", "img", "b"} & set(seen.tags)
    assert "<script>alert(1)</script>" in seen.text


def test_the_page_asks_the_network_for_nothing(tmp_path: Path) -> None:
    seen = Seen(html := page(tmp_path, make_run(tmp_path / "pad"), make_run(tmp_path / "two")))
    linked = [value for name, value in seen.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value and value.startswith("#run-") for value in linked)
    assert not re.search(r"url\(|@import", html)
    assert "default-src 'none'" in html


def test_every_link_leads_to_a_place_on_the_page(tmp_path: Path) -> None:
    seen = Seen(page(tmp_path, make_run(tmp_path / "pad"), make_run(tmp_path / "two")))
    ids = [value for name, value in seen.attributes if name == "id"]
    links = [value for name, value in seen.attributes if name == "href" and value]
    assert {link.removeprefix("#") for link in links} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_note_stands_before_the_results_once_and_names_its_runs(tmp_path: Path) -> None:
    note = "the teacher is scripted"
    runs = [make_run(tmp_path / name, notes=[note]) for name in ("one", "two")] + [make_run(tmp_path / "three")]
    shown = words(page(tmp_path, *runs))
    assert shown.count(note) == 1
    assert shown.index(f"one, two: {note}") < shown.index("Results")


def test_a_note_of_every_run_names_none(tmp_path: Path) -> None:
    assert "Read this first. scripted" in words(page(tmp_path, make_run(tmp_path / "one", notes=["scripted"])))


def test_a_long_text_is_cut_with_a_note(tmp_path: Path) -> None:
    shown = words(page(tmp_path, make_run(tmp_path / "pad", text="y" * 1600)))
    assert "y" * 1500 in shown
    assert "y" * 1501 not in shown
    assert "100 more characters are not shown here" in shown


STAGES = (
    "manifest.json",
    "metrics.json",
    "predictions.jsonl",
    "students/student.json",
    "training/student.jsonl",
    "examples/student.jsonl",
    "rationales/program.funnel.json",
    "rejected/program.jsonl",
)


@pytest.mark.parametrize("missing", range(1, len(STAGES) + 1))
def test_an_incomplete_run_shows_what_there_is(tmp_path: Path, missing: int) -> None:
    run = make_run(tmp_path / "pad")
    for name in STAGES[:missing]:
        (run / name).unlink()
    assert "pad" in words(page(tmp_path, run))


@pytest.mark.parametrize("left", STAGES[:3])
def test_a_run_of_one_file_shows_it(tmp_path: Path, left: str) -> None:
    source = make_run(tmp_path / "whole")
    (tmp_path / "pad").mkdir()
    (tmp_path / "pad" / left).write_bytes((source / left).read_bytes())
    assert "pad" in words(page(tmp_path, tmp_path / "pad"))


def test_a_folder_that_is_no_run_leaves_no_page(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="not a run's directory"):
        write_report([tmp_path / "empty"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_same_runs_give_the_same_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    assert page(tmp_path, run) == page(tmp_path, run)


def test_reading_a_run_does_not_load_jinja(tmp_path: Path) -> None:
    code = "import sys, understudy.report.page; print('jinja2' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_text_table_is_that_of_the_runs(tmp_path: Path) -> None:
    lines = render_text_table([make_run(tmp_path / "pad", right=30, of=40)]).splitlines()
    assert lines[2].split()[:4] == ["pad", "pad", "test", "75.0"]


def test_the_card_holds_the_verdict_the_note_and_the_numbers(tmp_path: Path) -> None:
    write_card(make_run(tmp_path / "pad", right=30, of=40, notes=["scripted"]), tmp_path / "README.md")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("# pad\n\npad answers 75.0 % of 40 wordsums test questions right")
    assert "> **Note.** scripted" in card
    assert "| pad | test | 75.0 % | 59.8–85.8 | 40 |" in card


def test_a_hostile_note_stays_text_in_the_card(tmp_path: Path) -> None:
    write_card(make_run(tmp_path / "pad", notes=["<img src=x>\n# head | [l](u)"]), tmp_path / "README.md")
    card = (tmp_path / "README.md").read_text()
    assert r"\<img src=x\> # head \| \[l\](u)" in card


def test_the_settings_on_the_card_are_those_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "pad")
    write_card(run, tmp_path / "README.md")
    [block] = re.findall(r"```toml\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    config = json.loads((run / "manifest.json").read_text())["config"]
    del config["limit"]
    assert tomllib.loads(block) == config
    assert "# limit is not set" in block


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.text() | NUMBERS | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_toml_reads_back_as_what_was_written(table: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(table)) == table


def test_a_program_is_shown_with_its_indentation(tmp_path: Path) -> None:
    assert PROGRAM in Seen(page(tmp_path, make_run(tmp_path / "pad"))).text


def test_several_runs_are_paired_question_by_question(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "pad", right=36), make_run(tmp_path / "finetune", method="finetune", right=30)]
    shown = words(page(tmp_path, *runs))
    assert "pad against finetune test 15.0 (1.8 to 26.8) 6 0 40 0.031" in shown
    assert "ahead of finetune with 75.0 % by 15.0 (1.8 to 26.8) points on the same questions" in shown


def test_runs_on_other_questions_are_not_paired(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "pad"), make_run(tmp_path / "other", split="dev")]
    assert "Paired differences" not in page(tmp_path, *runs)
    assert "Paired differences" not in page(tmp_path, runs[0])


def test_runs_whose_evaluation_was_stopped_are_paired_where_both_are_whole(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "pad"), make_run(tmp_path / "other", right=20)]
    for run in runs:
        rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
        with open(run / "predictions.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps({**row, "split": "unseen"}) + "\n" for row in rows[:5])
    shown = words(page(tmp_path, *runs))
    assert "pad against other test" in shown
    assert "pad against other unseen" not in shown


def test_the_names_of_paired_runs_are_text(tmp_path: Path) -> None:
    html = page(tmp_path, make_run(tmp_path / "<b>bold", right=36), make_run(tmp_path / "pad"))
    assert "<b>bold" not in html
    assert "&lt;b&gt;bold" in html
