"""Which checkpoints there are among the names of files."""

from __future__ import annotations

from tracker.importing.discover import Found, find


def names(*paths: str) -> list[str]:
    return [found.name for found in find(paths)]


def test_files_of_weights_are_found_in_the_order_of_the_numbers_in_their_names() -> None:
    assert names("a/epoch_10.pth", "a/epoch_9.pth", "notes.txt", "loss.png", "a/x.ckpt") == [
        "a/epoch_9.pth",
        "a/epoch_10.pth",
        "a/x.ckpt",
    ]


def test_a_folder_of_a_trainer_is_one_checkpoint_with_all_its_files() -> None:
    files = (
        "model.safetensors",
        "config.json",
        "optimizer.pt",
        "rng_state.pth",
        "trainer_state.json",
    )
    (found,) = find([*(f"out/checkpoint-5/{name}" for name in files), "out/checkpoint-5/vocab.txt"])
    assert (found.name, found.files[0]) == (
        "out/checkpoint-5",
        "out/checkpoint-5/model.safetensors",
    )
    assert set(found.files) == {f"out/checkpoint-5/{name}" for name in files}
    assert found.home == "out"


def test_shards_are_one_checkpoint_with_an_index_or_without() -> None:
    shards = [f"m/model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    (indexed,) = find([*shards, "m/model.safetensors.index.json"])
    assert indexed == Found("m", ("m/model.safetensors.index.json", *shards))
    (plain,) = find(shards)
    assert plain == Found("m/model.safetensors", tuple(shards))


def test_the_metrics_that_autologging_writes_belong_to_the_checkpoint_beside_them() -> None:
    files = ["epoch_1/checkpoint.pth", "epoch_1/checkpoint_metrics.json"]
    best = ["latest_checkpoint.weights.pth", "latest_checkpoint_metrics.json"]
    first, last = find(f"checkpoints/{path}" for path in (*files, *best))
    assert (first.metrics, first.home) == (f"checkpoints/{files[1]}", "")
    assert last.metrics == f"checkpoints/{best[1]}"


def test_checkpoints_of_tracker_itself_are_none_to_import() -> None:
    assert names("m-1/checkpoint.json", "m-1/model.safetensors", "m-1/training.safetensors") == []


def test_each_folder_is_a_run_but_not_that_of_a_single_checkpoint() -> None:
    paths = ["a/checkpoints/e.ckpt", "b/epoch_1/checkpoint.pth", "b/epoch_2/checkpoint.pth"]
    assert [found.home for found in find(paths)] == ["a", "b", "b"]
