import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, BertConfig, BertForMaskedLM

from students import DECODER, LLAMA, SEQ2SEQ, model
from understudy.errors import StudentError
from understudy.students import loading
from understudy.students.encoding import Encoding

Spoil = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    loading.save(model(), tmp_path / "student", "# A card\n")
    return tmp_path / "student"


def edit(folder: Path, name: str, **changes: object) -> None:
    table = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**table, **changes}))


@pytest.mark.parametrize("spec", [DECODER, LLAMA, SEQ2SEQ])
def test_a_saved_student_is_loaded_with_the_same_weights_and_tokens(spec: str, tmp_path: Path) -> None:
    saved = model(spec)
    loading.save(saved, tmp_path / "s", "")
    loaded = loading.load(str(tmp_path / "s"))
    weights = loaded.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in saved.model.state_dict().items())
    assert loaded.tokenizer.encode("Ann has 12") == saved.tokenizer.encode("Ann has 12")
    assert loaded.encoding == saved.encoding


@pytest.mark.parametrize(("spec", "auto"), [(DECODER, AutoModelForCausalLM), (SEQ2SEQ, AutoModelForSeq2SeqLM)])
def test_plain_transformers_reads_a_saved_student(spec: str, auto: type, tmp_path: Path) -> None:
    saved = model(spec)
    loading.save(saved, tmp_path / "s", "")
    plain = auto.from_pretrained(tmp_path / "s")  # type: ignore[attr-defined]
    assert torch.equal(plain.get_input_embeddings().weight, saved.model.get_input_embeddings().weight)
    assert AutoTokenizer.from_pretrained(tmp_path / "s").encode("x 12") == saved.tokenizer.encode("x 12")


def test_a_saved_student_keeps_the_cache_on_and_knows_its_end_token(folder: Path) -> None:
    assert json.loads((folder / "config.json").read_text())["use_cache"] is True
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == model().tokenizer.eos_token_id


def test_a_saved_student_has_its_card_and_no_pickle(folder: Path) -> None:
    assert (folder / "README.md").read_text() == "# A card\n"
    assert not [path for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(pattern)]


def test_saving_replaces_an_earlier_student_and_leaves_nothing_beside_it(folder: Path) -> None:
    (folder / "left_over").touch()
    loading.save(model(seed=1), folder, "# Another\n")
    assert (folder / "README.md").read_text() == "# Another\n"
    assert not (folder / "left_over").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["student"]


def test_a_folder_that_others_saved_gets_the_default_encoding(folder: Path) -> None:
    (folder / loading.ENCODING_FILE).unlink()
    assert loading.load(str(folder)).encoding == Encoding("decoder")


def test_a_folder_with_a_chat_template_is_asked_in_turns(folder: Path) -> None:
    (folder / loading.ENCODING_FILE).unlink()
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert loading.load(str(folder)).encoding.chat


def test_a_missing_padding_token_is_replaced_by_the_end_token(folder: Path) -> None:
    edit(folder, "tokenizer_config.json", pad_token=None)
    tokenizer = loading.load(str(folder)).tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def pickle_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_the_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def widen(folder: Path) -> None:
    edit(folder, "config.json", n_layer=3)


def shrink_the_embedding(folder: Path) -> None:
    small = loading.load(str(folder)).model
    small.resize_token_embeddings(50)
    small.save_pretrained(folder)


def make_it_an_encoder(folder: Path) -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=1500)
    BertForMaskedLM(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "has no weights, expected model.safetensors"),
        (pickle_the_weights, r"only pickled weights \(pytorch_model.bin\).*safetensors"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer, expected tokenizer.json"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be loaded"),
        (cut_the_weights, "cannot be loaded"),
        (widen, r"do not fit its config.json: \d+ are missing"),
        (shrink_the_embedding, r"has \d+ tokens, the model embeds only 50"),
        (lambda f: edit(f, "tokenizer_config.json", eos_token=None), "has no end token"),
        (make_it_an_encoder, "is a bert model .*which cannot write text"),
        (lambda f: (f / loading.ENCODING_FILE).write_text('{"novel": 1}'), "is not what this version writes"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(folder: Path, spoil: Spoil, message: str) -> None:
    spoil(folder)
    with pytest.raises(StudentError, match=message):
        loading.load(str(folder))


def test_no_code_of_a_folder_is_executed(folder: Path) -> None:
    (folder / "evil.py").write_text("open('executed', 'w')\nclass Evil: pass\n")
    edit(
        folder,
        "config.json",
        auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
        model_type="evil",
    )
    with pytest.raises(StudentError, match="cannot be loaded"):
        loading.load(str(folder))


@pytest.mark.parametrize("spec", ["./nowhere", "/no/such/folder", "~/nowhere-at-all", "a/b/c", ""])
def test_a_path_that_is_no_folder_is_not_looked_up_on_the_hub(spec: str) -> None:
    with pytest.raises(StudentError, match="is no folder"):
        loading.load(spec)


def test_a_hub_model_without_a_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        StudentError, match=r"'nobody/nothing-at-all' is not in the local cache.*hf download.*scratch:gpt2-tiny"
    ):
        loading.load("nobody/nothing-at-all")


def test_loading_shows_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loading.load(str(folder))
    assert capfd.readouterr() == ("", "")


def test_a_student_saved_twice_has_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    loading.save(model(), tmp_path / "again", "# A card\n")
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
