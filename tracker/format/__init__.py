"""The bytes of one checkpoint directory: its manifest, its tensor files, its source.

Knows nothing of models, MLflow or databases. ``docs/format.md`` describes the same bytes for
readers in other languages. A checkpoint exists once its manifest does: `write_checkpoint` writes
that last, `open_checkpoint` starts from it and hands out nothing whose digest differs.
"""

from tracker.format.amend import amend_manifest
from tracker.format.commit import Written, withdraw_manifest
from tracker.format.elsewhere import Locate
from tracker.format.export import export_state_dict
from tracker.format.layout import ATTACHED, MANIFEST
from tracker.format.manifest import FORMAT_NAME, FORMAT_VERSION, Manifest, SourceEntry
from tracker.format.read import StoredCheckpoint, open_checkpoint
from tracker.format.reuse import KnownTensors, known_tensors, limited
from tracker.format.shards import Placed, Shard, joined, write_shards
from tracker.format.whole import content_of
from tracker.format.write import Content, write_checkpoint

__all__ = [
    "ATTACHED",
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "MANIFEST",
    "Content",
    "KnownTensors",
    "Locate",
    "Manifest",
    "Placed",
    "Shard",
    "SourceEntry",
    "StoredCheckpoint",
    "Written",
    "amend_manifest",
    "content_of",
    "export_state_dict",
    "joined",
    "known_tensors",
    "limited",
    "open_checkpoint",
    "withdraw_manifest",
    "write_checkpoint",
    "write_shards",
]
