"""What happens in an optimiser step: the transformers `Trainer` of a student, and what it records; trainer.py runs it.

The Trainer's unit is a whole step. Its "batch" is this process's share of all the rows of the step, already cut into
micro-batches, with the divisors of the loss over all processes: `{"batches": [...], "counts": (objectives,)}`. Each
process of a `torchrun` computes the same plan, so nothing has to be exchanged but gradients and the sums for the log.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from understudy import jsonl
from understudy.config import Train
from understudy.errors import StudentError
from understudy.procedures import derive_seed
from understudy.students import batches, heads, losses, preview
from understudy.students.batches import Batch, Collator, Rows
from understudy.students.checkpoints import Checkpoints, Progress
from understudy.students.loading import Loaded

ProgressCall: TypeAlias = Callable[[int, int, Mapping[str, float]], None]
"""Called with (steps done, steps in all, row of the log) whenever a row is written."""

LOG_EVERY = 10
"""Steps between two rows of the log; the first and the last step and every validation have a row too."""


class TrainingStopped(KeyboardInterrupt):
    """`should_stop` said so; the training is on disk and the same call continues it."""


class StudentTrainer(Trainer):  # type: ignore[misc]
    """A `Trainer` whose unit is a whole optimiser step: it is told all rows of a step at once and cuts them itself."""

    def __init__(
        self,
        loaded: Loaded,
        rows: Rows,
        valid: Rows,
        weights: Mapping[str, float],
        settings: Train,
        seed: int,
        kept: Checkpoints,
        log: Path,
        progress: ProgressCall | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.loaded, self.rows, self.valid, self.weights, self.settings = loaded, rows, valid, weights, settings
        self.kept, self.log_path, self.step_seed = kept, log, seed
        self.accepts = batches.accepted(loaded.model)
        self.encoder = loaded.encoder()
        start = loaded.model.config.decoder_start_token_id if loaded.encoding.architecture == "encoder-decoder" else 0
        self.collators = {
            id(data): Collator(data, loaded.encoding.architecture, self.encoder.pad, start) for data in (rows, valid)
        }
        self.recorder = Recorder(self, progress, should_stop)
        super().__init__(model=loaded.model, args=_arguments(settings, seed, kept.writing), callbacks=[self.recorder])
        self.remove_callback(PrinterCallback)
        self.objective_weights = torch.tensor(list(weights.values()), device=self.args.device)

    def run(self) -> Progress:
        """Train from the last checkpoint, or from the start, to the end; the model then has the weights to keep."""
        done = self.kept.last()
        if self.args.should_save:
            self.kept.remove(after=done.step if done else None)
        self.accelerator.wait_for_everyone()
        self.recorder.begin(done or Progress(0))
        with self.recorder:
            self.train(resume_from_checkpoint=str(self.kept.path(done.step)) if done else None)
        if self.recorder.stopped:
            raise TrainingStopped
        done = self.recorder.state()
        if done.best_step not in (0, done.step):
            self._load_from_checkpoint(str(self.kept.path(done.best_step)))
        return done

    def preview(self) -> str:
        """The first micro-batch as text, checked; see `preview.check`."""
        first = next(batches.plan(self.rows.groups, self.settings.batch_size, self.step_seed))
        numbers = first[: min(len(first), self.settings.micro_batch_size or 8)]
        collator = self.collators[id(self.rows)]
        return preview.check(self.model, self.encoder, self.rows, numbers, collator, self.accepts)

    def get_train_dataloader(self) -> Any:
        """The steps that are left; not a DataLoader, because making a batch takes no time worth a worker."""
        return Steps(self, self.recorder.step)

    def share(self, rows: Rows, step: Sequence[int]) -> Iterator[Batch]:
        """The micro-batches of some rows that this process works on."""
        index, count = self.args.process_index, self.args.world_size
        collator = self.collators[id(rows)]
        parts = batches.micro_batches(rows, step, self.settings.micro_batch_size, index, count)
        for numbers in parts:
            yield collator(numbers)
        if not parts:  # every process has to take part in the exchange of gradients
            spare = collator(step[:1])
            yield {**spare, "weights": torch.zeros_like(spare["weights"])}

    def sums(self, model: Any, batch: Batch) -> Tensor:
        """(objectives,) weighted sums of the token losses in a micro-batch."""
        batch = {name: tensor.to(self.args.device) for name, tensor in batch.items()}
        logits, said = batches.target_outputs(model, batch, self.accepts, heads.head_of(self.model))
        return losses.objective_sums(
            logits,
            batch["labels"],
            batch["weights"],
            batch["objectives"],
            len(self.rows.names),
            said,
            batch["values"],
        )

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward through this process's share of one optimiser step."""
        model.train()
        counts = inputs["counts"].to(self.args.device)
        total = torch.zeros_like(counts)
        for number, batch in enumerate(inputs["batches"], 1):
            with nullcontext() if number == len(inputs["batches"]) else self.accelerator.no_sync(model):
                sums = self.sums(model, batch)
                loss = losses.weigh(sums, counts, self.objective_weights)
                # gradients are averaged over the processes, but each has only its share of the sum
                self.accelerator.backward(loss * self.args.world_size)
            total += sums.detach()
        loss = losses.weigh(total, counts, self.objective_weights)
        self.recorder.add(loss, total, counts)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The loss over all validation rows, as if they were one optimiser step."""
        model = self.model  # not the wrapped one: processes may have different numbers of micro-batches
        model.eval()
        numbers = list(range(len(self.valid)))
        size = self.settings.batch_size * self.args.world_size
        total = torch.zeros(len(self.weights), device=self.args.device)
        with torch.no_grad():
            for begin in range(0, len(numbers), size):
                for batch in self.share(self.valid, numbers[begin : begin + size]):
                    total += self.sums(model, batch)
        total = self.accelerator.reduce(total, reduction="sum")
        counts = self.valid.counts(numbers).to(self.args.device)
        return {"eval_loss": float(losses.weigh(total, counts, self.objective_weights))}

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: counting takes longer than a step of a small model."""
        return 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Nothing: the rows of the log are the recorder's."""


class Steps:
    """The optimiser steps of a training, from the one after `done`; every item is this process's share of one."""

    def __init__(self, trainer: StudentTrainer, done: int) -> None:
        self.trainer, self.done = trainer, done

    def __len__(self) -> int:
        return self.trainer.settings.steps

    def __iter__(self) -> Iterator[dict[str, Any]]:
        trainer = self.trainer
        steps = batches.plan(trainer.rows.groups, trainer.settings.batch_size, trainer.step_seed)
        for number, step in zip(range(len(self)), steps, strict=False):
            if number >= self.done:
                yield {"batches": list(trainer.share(trainer.rows, step)), "counts": trainer.rows.counts(step)}


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Writes the log, validates, remembers the best step, and seals checkpoints. It is open in a `with` block."""

    def __init__(
        self, trainer: StudentTrainer, progress: ProgressCall | None, should_stop: Callable[[], bool] | None
    ) -> None:
        self.trainer, self.progress, self.should_stop = trainer, progress, should_stop
        self.stopped = False
        self.step = 0

    def begin(self, done: Progress) -> None:
        """Go on from `done`: rows of the log after it are cut."""
        self.step, self.best_step, self.best_loss = done.step, done.best_step, done.best_loss
        self.rows: list[dict[str, Any]] = list(done.rows)
        self.open_steps = done.open_steps
        here = done.open_sums if self.trainer.args.process_index == 0 else ()  # they go over all processes
        sums = here or (0.0,) * (1 + 2 * len(self.trainer.weights))
        self.open_sums = torch.tensor(sums, device=self.trainer.args.device)

    def __enter__(self) -> None:
        if self.trainer.args.should_save:
            jsonl.write(self.trainer.log_path, self.rows)
            self.appender = jsonl.Appender(self.trainer.log_path)
            self.appender.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.trainer.args.should_save:
            self.appender.__exit__(None, None, None)

    def add(self, loss: Tensor, sums: Tensor, counts: Tensor) -> None:
        """Count a step: this process's share of its loss and sums, and the counts of the whole step."""
        self.open_sums += torch.cat([loss[None], sums, counts / self.trainer.args.world_size])
        self.open_steps += 1

    def state(self) -> Progress:
        """How far it is; all processes have to ask."""
        sums = self.trainer.accelerator.reduce(self.open_sums, reduction="sum").tolist()
        return Progress(self.step, self.best_step, self.best_loss, tuple(self.rows), tuple(sums), self.open_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After every step: a row of the log and a validation when they are due, and whether to stop."""
        self.step, steps = state.global_step, self.trainer.settings.steps
        due = self.step % self.trainer.settings.eval_every == 0 or self.step == steps
        valid_loss = self.trainer.evaluate()["eval_loss"] if due and len(self.trainer.valid) else None
        if valid_loss is not None and (not self.best_step or valid_loss < self.best_loss):
            self.best_step, self.best_loss = self.step, valid_loss
        if due or self.step == 1 or self.step % LOG_EVERY == 0:
            self._write_row(kwargs["lr_scheduler"].get_last_lr()[0], valid_loss)
        self.stopped = self.step < steps and self.should_stop is not None and self._agreed(self.should_stop())
        control.should_save = due or self.stopped
        control.should_training_stop = control.should_training_stop or self.stopped

    def _agreed(self, stop: bool) -> bool:
        flag = torch.tensor(float(stop), device=self.trainer.args.device)
        return bool(self.trainer.accelerator.reduce(flag, reduction="sum") > 0)

    def _write_row(self, learning_rate: float, valid_loss: float | None) -> None:
        loss, *sums = self.trainer.accelerator.reduce(self.open_sums, reduction="sum").tolist()
        row: dict[str, Any] = {"step": self.step, "loss": loss / self.open_steps}
        for name, total, count in zip(self.trainer.weights, sums, sums[len(sums) // 2 :], strict=False):
            if count:
                row[f"loss/{name}"] = total / count
        row["learning_rate"] = learning_rate
        if valid_loss is not None:
            row["valid_loss"] = valid_loss
        if not all(math.isfinite(value) for value in row.values()):
            raise StudentError(
                f"the loss is {row['loss']} at step {self.step}, expected a finite number. Lower train.learning_rate "
                f"({self.trainer.settings.learning_rate}), lengthen train.warmup, or use train.precision=float32"
            )
        self.open_sums.zero_()
        self.open_steps = 0
        self.rows.append(row)
        if self.trainer.args.should_save:
            self.appender.write(row)
            self.appender.flush()
            if self.progress is not None:
                self.progress(self.step, self.trainer.settings.steps, row)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """After transformers wrote a checkpoint: seal it."""
        progress = self.state()
        self.trainer.accelerator.wait_for_everyone()
        if args.should_save:
            self.trainer.kept.seal(progress)
        self.trainer.accelerator.wait_for_everyone()


def _arguments(settings: Train, seed: int, folder: Path) -> TrainingArguments:
    """What the Trainer does itself: optimiser, schedule, clipping, precision, and writing a checkpoint when told to."""
    schedules = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=schedules[settings.schedule],
        warmup_steps=round(settings.warmup * settings.steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        bf16=settings.precision == "bfloat16",
        use_cpu=not torch.accelerator.is_available(),  # else bfloat16 is refused
        seed=derive_seed(seed, "training") % 2**32,
        ignore_data_skip=True,  # the steps begin where the checkpoint ends
        logging_nan_inf_filter=False,
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        ddp_find_unused_parameters=False,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
    )
