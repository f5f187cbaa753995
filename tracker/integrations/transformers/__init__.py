"""Hugging Face Transformers: a callback for the ``Trainer``, and the way back.

Example:
    >>> trainer = Trainer(model, args, callbacks=[TrackerCallback()], …)
    >>> trainer.train()
    >>> model = tracker.best_checkpoint("eval_loss").load_model()
"""

try:
    import transformers  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "tracker.integrations.transformers needs transformers: "
        "pip install 'checkpoint-tracker[transformers]'",
        name=error.name,
    ) from error

from tracker.integrations.transformers.callback import TrackerCallback
from tracker.integrations.transformers.export import load_processing_class, save_pretrained_folder
from tracker.integrations.transformers.folder import checkpoint_folder, latest_checkpoint_folder

__all__ = [
    "TrackerCallback",
    "checkpoint_folder",
    "latest_checkpoint_folder",
    "load_processing_class",
    "save_pretrained_folder",
]
