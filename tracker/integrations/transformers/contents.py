"""What lies beside a model of Hugging Face's: configurations, tokenizer or processor."""

from __future__ import annotations

import copy
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tracker.architecture.wrappers import unwrapped
from tracker.errors import InvalidArgumentError, NotFoundError, TrackerWarning
from tracker.format import ATTACHED
from tracker.saving.attached import check_files

ARGUMENTS_FILE = "training_args.json"
CONFIG_FILE, GENERATION_FILE = "config.json", "generation_config.json"
_AUTO_CLASSES = {
    "processor_config.json": ("AutoProcessor",),
    "tokenizer_config.json": ("AutoTokenizer",),
    "preprocessor_config.json": ("AutoImageProcessor", "AutoFeatureExtractor"),
    "video_preprocessor_config.json": ("AutoVideoProcessor",),
}
"""By the file that tells of it: which of Transformers' classes make a processing class."""


def files_beside(model: Any, processing_class: Any, *, stacklevel: int = 2) -> dict[str, bytes]:
    """Return the files that a model of Hugging Face's is used with, by name.

    A part that can't be written is left out, with a warning: the weights are worth it without.

    Args:
        model: The model; other modules have no configuration.
        processing_class: The Trainer's: a tokenizer, image processor, feature extractor or
            processor, or None.
        stacklevel: Of the warning.
    """
    inner = unwrapped(model)
    files: dict[str, bytes] = {}
    parts: dict[str, Callable[[Path], None]] = {
        "configuration": partial(_write_configurations, inner),
        "processing class": partial(_write_processing_class, processing_class),
    }
    for what, write in parts.items():
        try:
            with tempfile.TemporaryDirectory(prefix="tracker-") as name:
                write(Path(name))
                read = check_files(dict(_files_in(Path(name))))
                files |= {place.removeprefix(ATTACHED): data for place, data in read.items()}
        except Exception as error:  # noqa: BLE001 - of whatever class the user has made
            warnings.warn(
                f"The {what} can't be kept beside the model: {type(error).__name__}: {error}",
                TrackerWarning,
                stacklevel=stacklevel + 1,
            )
    return files


def _write_configurations(model: Any, folder: Path) -> None:
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_json_string"):
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        shown = copy.deepcopy(config)
        shown.architectures = [type(base).__name__]
        (folder / CONFIG_FILE).write_text(shown.to_json_string(), encoding="utf-8")
    generation: Any = getattr(model, "generation_config", None)
    if hasattr(generation, "to_json_string"):
        (folder / GENERATION_FILE).write_text(generation.to_json_string(), encoding="utf-8")
    adapters = getattr(model, "peft_config", None)
    if isinstance(adapters, Mapping):
        for name, adapter in adapters.items():
            place = folder if name == "default" else folder / name
            place.mkdir(exist_ok=True)
            adapter.save_pretrained(str(place))


def _write_processing_class(processing_class: Any, folder: Path) -> None:
    if hasattr(processing_class, "save_pretrained"):
        processing_class.save_pretrained(str(folder))


def _files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def arguments_file(args: Any) -> bytes:
    """Return the ``TrainingArguments`` as JSON, without the tokens in them."""
    text: str = args.to_json_string()
    return text.encode()


@contextmanager
def written(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a temporary folder that holds files."""
    with tempfile.TemporaryDirectory(prefix="tracker-") as name:
        write_files(Path(name), files)
        yield Path(name)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, with the folders in their names."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def made_processing_class(files: Mapping[str, bytes], name: str) -> Any:
    """Return the tokenizer or processor that files describe.

    Only classes of Transformers itself are made: code that the files bring is never run.

    Args:
        files: The files beside a model.
        name: The checkpoint's, for errors.

    Raises:
        NotFoundError: The files describe none.
        InvalidArgumentError: Transformers can't make it; says why.
    """
    import transformers

    kinds = [kind for file, kinds in _AUTO_CLASSES.items() if file in files for kind in kinds]
    if not kinds:
        raise NotFoundError(
            f"The checkpoint {name} has no tokenizer or processor beside its model; it has "
            f"{', '.join(files) or 'no files'}. The Trainer knows it as processing_class=."
        )
    problems = []
    with written(files) as folder:
        for kind in kinds:
            try:
                return getattr(transformers, kind).from_pretrained(
                    str(folder), local_files_only=True, trust_remote_code=False
                )
            except Exception as error:  # noqa: BLE001 - of whichever class it is
                problems.append(f"{kind}: {type(error).__name__}: {error}")
    raise InvalidArgumentError(
        f"The processing class of checkpoint {name} can't be made:\n"
        + "\n".join(problems)
        + "\nIf its class is your own, write the files with save_pretrained_folder() and call its "
        "from_pretrained()."
    )


def model_config(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """Return ``config.json``, or nothing if there is none."""
    config = json.loads(files.get(CONFIG_FILE, b"{}"))
    return config if isinstance(config, dict) else {}
