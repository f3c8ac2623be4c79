from pathlib import Path

import pytest

from understudy.students.checkpoints import PROGRESS, SEAL, Checkpoints, Progress, checksums


def seal(kept: Checkpoints, *steps: Progress) -> None:
    for progress in steps:
        folder = kept.writing / f"checkpoint-{progress.step}"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(f"weights {progress.step}")
        (folder / "training_args.bin").write_text("a pickle")
        kept.seal(progress)


def there(kept: Checkpoints) -> list[str]:
    return sorted(path.name for path in kept.folder.iterdir() if path.name != "writing")


@pytest.fixture
def kept(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "student.checkpoints", "f")


def test_the_last_checkpoint_is_found_with_its_progress(kept: Checkpoints) -> None:
    last = Progress(20, 10, 0.25, ({"step": 10, "loss": 1.5},), (0.125, 3.0), 4)
    seal(kept, Progress(10, 10, 0.25), last)
    assert kept.last() == last


def test_there_is_no_checkpoint_at_first(kept: Checkpoints) -> None:
    assert kept.last() is None


@pytest.mark.parametrize("name", ["model.safetensors", PROGRESS, SEAL])
@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_text(p.read_text()[:-3])])
def test_a_broken_checkpoint_is_passed_over(kept: Checkpoints, name: str, spoil: object) -> None:
    seal(kept, Progress(10), Progress(20))
    spoil(kept.path(20) / name)  # type: ignore[operator]
    assert kept.last() == Progress(10)


def test_a_checkpoint_that_was_not_sealed_is_passed_over(kept: Checkpoints) -> None:
    seal(kept, Progress(10))
    (kept.writing / "checkpoint-20").mkdir()
    assert kept.last() == Progress(10)


def test_a_checkpoint_of_another_training_is_passed_over(kept: Checkpoints) -> None:
    seal(kept, Progress(10))
    assert Checkpoints(kept.folder, "other").last() is None


def test_the_last_two_stay(kept: Checkpoints) -> None:
    seal(kept, Progress(10), Progress(20), Progress(30))
    assert there(kept) == ["checkpoint-20", "checkpoint-30"]


def test_the_best_of_each_of_the_last_two_stays_as_well(kept: Checkpoints) -> None:
    seal(kept, Progress(10, 10), Progress(20, 10), Progress(30, 10), Progress(40, 40))
    assert there(kept) == ["checkpoint-10", "checkpoint-30", "checkpoint-40"]


def test_a_checkpoint_whose_best_is_broken_is_passed_over(kept: Checkpoints) -> None:
    seal(kept, Progress(10, 10), Progress(20, 20), Progress(30, 20))
    (kept.path(20) / "model.safetensors").unlink()
    assert kept.last() is None


def test_no_pickle_of_arguments_is_kept(kept: Checkpoints) -> None:
    seal(kept, Progress(10))
    assert not (kept.path(10) / "training_args.bin").exists()


def test_those_after_a_step_can_be_removed(kept: Checkpoints) -> None:
    seal(kept, Progress(10), Progress(20))
    kept.remove(after=10)
    assert there(kept) == ["checkpoint-10"]


def test_all_can_be_removed(kept: Checkpoints) -> None:
    seal(kept, Progress(10))
    kept.remove()
    assert not kept.folder.exists()


def test_a_changed_file_has_another_checksum(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = checksums([tmp_path])
    (tmp_path / "a").write_text("2")
    assert checksums([tmp_path]) != before
