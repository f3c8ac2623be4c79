"""Where a student comes from and how it is saved: `scratch:NAME`, a folder, or a hub id. Weights are safetensors only.

    loaded = load("scratch:gpt2-tiny", texts=["Ann has 12 apples."], seed=0)
    save(loaded, Path("students/student"), card="# A student\\n")

    students/student/   config.json  generation_config.json  model.safetensors  tokenizer.json  tokenizer_config.json
                        understudy.json (an `Encoding`)  README.md (the model card)
                        value_head.safetensors (see heads.py; only of a role with a value head)

A pickle can run code when it is read, so it never is, and no code of a model folder is executed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.errors import StudentError, explain_os_errors
from understudy.students import scratch
from understudy.students.encoding import Encoder, Encoding, positions_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ENCODING_FILE = "understudy.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "sentencepiece.bpe.model",
)


@dataclass(slots=True)
class Loaded:
    """A model with all that is needed to train it or to ask it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoding: Encoding

    def encoder(self) -> Encoder:
        """Its texts to tokens and back."""
        return Encoder(self.tokenizer, self.encoding, positions_of(self.model))


def load(
    spec: str, *, texts: Iterable[str] = (), seed: int = 0, dtype: str = "float32", revision: str = "main"
) -> Loaded:
    """The model that `spec` names, on the CPU.

    Args:
        spec: `scratch:NAME`, a folder, or a hub id such as `google/t5-v1_1-small`.
        texts: what the tokenizer of a scratch model is made from; not read otherwise.
        seed: of a scratch model's weights.
        dtype: number format of the weights; `auto` is as they were saved.
        revision: of a hub id: a branch, a tag or a commit.

    Raises:
        StudentError: there is no such model, or it cannot be trained; says what to do.
    """
    from understudy.students import heads

    with quiet():
        if spec.startswith(scratch.PREFIX):
            shape = scratch.shape_of(spec)
            tokenizer = scratch.make_tokenizer(texts, shape.vocabulary)
            model = scratch.make_model(shape, tokenizer, seed)
            return Loaded(model, tokenizer, Encoding(_architecture(model.config)))
        check(spec)
        folder = Path(spec).expanduser()
        place = str(folder) if folder.is_dir() else spec
        config, tokenizer, model = _pretrained(place, folder.is_dir(), dtype, revision)
    _check_tokens(place, tokenizer, model)
    if folder.is_dir():
        heads.load(model, folder)
    found = _read_encoding(folder / ENCODING_FILE) if folder.is_dir() else None
    chat = bool(getattr(tokenizer, "chat_template", None)) and not config.is_encoder_decoder
    return Loaded(model, tokenizer, found or Encoding(_architecture(config), chat=chat))


def check(spec: str) -> None:
    """See whether there can be a model that `spec` names, as far as this machine can tell: it asks no hub and loads nothing.

    Raises:
        StudentError: as `load`.
    """
    folder = Path(spec).expanduser()
    if spec.startswith(scratch.PREFIX):
        scratch.shape_of(spec)
    elif spec and folder.is_dir():
        _check_folder(folder)
    elif folder.exists() or spec.startswith((".", "/", "~")) or spec.count("/") > 1 or not spec:
        raise StudentError(f"{spec!r} is no folder. Give a model folder, a hub id like `owner/name`, or scratch:NAME")


def _architecture(config: Any) -> Any:
    return "encoder-decoder" if config.is_encoder_decoder else "decoder"


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise StudentError(
            f"{folder} has no config.json, so it is no model folder. Give the folder that `save_pretrained` wrote"
        )
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickles:
            raise StudentError(
                f"{folder} has only pickled weights ({', '.join(pickles)}), which can run code when they are read. "
                "Convert them "
                "where you trust them: load the model with transformers and call `save_pretrained`, which writes "
                "safetensors"
            )
        raise StudentError(
            f"{folder} has no weights, expected model.safetensors. Was the training that wrote it finished?"
        )
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise StudentError(
            f"{folder} has no tokenizer, expected tokenizer.json. Save the one the model was trained with there"
        )


def _pretrained(place: str, local: bool, dtype: str, revision: str) -> tuple[Any, Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer

    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": local, "revision": revision}
    number = dtype if dtype == "auto" else getattr(torch, dtype)
    try:
        config = AutoConfig.from_pretrained(place, **options)
        auto = _auto_class(place, config)
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model, info = auto.from_pretrained(
            place, config=config, use_safetensors=True, dtype=number, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:300]
        if local:
            raise StudentError(
                f"{place} cannot be loaded: {reason}. Save the model again, or choose another student"
            ) from error
        raise StudentError(
            f"the model {place!r} is not in the local cache and cannot be fetched from the hub ({reason}). Check the "
            "name "
            "and the connection; without one, download it elsewhere with `hf download` and give its folder, or use "
            "scratch:gpt2-tiny"
        ) from error
    lacking = sorted({*map(str, info["missing_keys"]), *(str(key) for key in info["mismatched_keys"])})
    if lacking:
        raise StudentError(
            f"the weights in {place} do not fit its config.json: {len(lacking)} are missing or of another shape, the "
            "first is "
            f"{lacking[0]}. Give the complete folder of a {type(model).__name__}"
        )
    return config, tokenizer, model


def _auto_class(place: str, config: Any) -> Any:
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
    )

    if config.is_encoder_decoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return AutoModelForSeq2SeqLM
    masked = any("MaskedLM" in name for name in config.architectures or ())
    if not config.is_encoder_decoder and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not masked:
        return AutoModelForCausalLM
    raise StudentError(
        f"{place} is a {config.model_type} model ({', '.join(config.architectures or ['no architecture named'])}), "
        "which cannot write "
        "text. Choose a decoder-only or an encoder-decoder language model"
    )


def _check_tokens(place: str, tokenizer: Any, model: Any) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise StudentError(
            f"the tokenizer of {place} has {len(tokenizer)} tokens, the model embeds only {rows}: they do not belong "
            "together. Give the tokenizer the model was trained with"
        )
    if tokenizer.eos_token_id is None:
        raise StudentError(
            f"the tokenizer of {place} has no end token, so the student could never stop. Set its eos_token"
        )
    if model.config.is_encoder_decoder and model.config.decoder_start_token_id is None:
        raise StudentError(
            f"the config.json of {place} has no decoder_start_token_id, expected the id its decoder begins with"
        )
    if tokenizer.pad_token_id is None:
        # padding is masked by position, not by id, so that the end token can stand in for it
        tokenizer.pad_token = tokenizer.eos_token


def _read_encoding(path: Path) -> Encoding | None:
    if not path.exists():
        return None
    try:
        return Encoding.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError) as error:
        raise StudentError(f"{path} is not what this version writes ({error}). Train the student again") from error


def save(loaded: Loaded, folder: Path, card: str) -> None:
    """Write a student's folder: it is there whole or not at all; an earlier one is replaced.

    Args:
        loaded: the student; saved in the number format of its weights.
        folder: where; `AutoModelFor*.from_pretrained(folder)` reads it as well.
        card: the text of its README.md.
    """
    from understudy.students import heads

    beside = folder.with_name(folder.name + ".tmp")
    with explain_os_errors("saving a student"), quiet():
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        model, tokenizer = loaded.model, loaded.tokenizer
        model.config.use_cache = True  # training turns it off, and answering without it is slow
        if model.generation_config is not None:
            if tokenizer.eos_token_id not in end_tokens(model):
                model.generation_config.eos_token_id = tokenizer.eos_token_id
            model.generation_config.pad_token_id = tokenizer.pad_token_id
        with heads.detached(model, beside):
            model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        encoding = json.dumps(loaded.encoding.to_json(), ensure_ascii=False, indent=2)
        (beside / ENCODING_FILE).write_text(encoding + "\n", encoding="utf-8")
        (beside / "README.md").write_text(card, encoding="utf-8")
        for path in beside.iterdir():
            sync(path)
        put_in_place(beside, folder)


def end_tokens(model: PreTrainedModel) -> frozenset[int]:
    """The ids that end a text according to the model's generation config; a chat model may have several."""
    ids = getattr(model.generation_config, "eos_token_id", None)
    return frozenset({ids} if isinstance(ids, int) else ids or ())


def sync(path: Path) -> None:
    """Push a file or a folder's list of names all the way to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def put_in_place(beside: Path, folder: Path) -> None:
    """Rename a finished folder to its name; one that has the name already is removed."""
    sync(beside)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.rename(folder, old)
    os.rename(beside, folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loading bars and the notes of transformers off the screen."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
