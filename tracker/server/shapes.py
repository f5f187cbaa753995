"""The shapes of questions and answers, for the OpenAPI description; questions are held to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from tracker.service.wire import MOST_RANKED, MOST_RESULTS

Number = Annotated[
    float | Literal["NaN", "Infinity", "-Infinity"],
    Field(description="A number; NaN and infinities, which JSON lacks, as texts."),
]
Experiments = Annotated[
    list[str] | None,
    Field(max_length=1_000, description="Only in experiments of these names; none: in all."),
]
RunId = Annotated[str | None, Field(description="Only of this run.")]
FilterString = Annotated[
    str, Field(description="MLflow's search syntax: `metrics.val_loss < 0.3 AND tags.a = 'b'`.")
]
Mode = Annotated[
    str | None,
    Field(description="`min` or `max`; may be left out where the metric's name leaves no doubt."),
]
MaxResults = Annotated[StrictInt, Field(description=f"How many at most, 1 to {MOST_RESULTS:,}.")]
Offset = Annotated[StrictInt, Field(description="How many to skip.")]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Place(_Question):
    """Where to look."""

    experiments: Experiments = None
    run_id: RunId = None
    filter: FilterString = ""


class SearchQuestion(Place):
    """Which checkpoints, in which order."""

    order_by: Annotated[
        list[str] | None,
        Field(max_length=100, description="`metrics.val_loss ASC`; else the newest first."),
    ] = None
    max_results: MaxResults = 100
    offset: Offset = 0


class BestQuestion(Place):
    """The best by which metric."""

    metric: str
    mode: Mode = None
    k: Annotated[StrictInt, Field(description=f"How many, 1 to {MOST_RANKED:,}.")] = 1


class BestOfEachRunQuestion(Place):
    """The best of each run by which metric."""

    metric: str
    mode: Mode = None
    max_results: MaxResults = 100
    offset: Offset = 0


class ParetoQuestion(Place):
    """Which metrics, each with `min`, `max` or null where its name leaves no doubt."""

    metrics: dict[str, str | None]


class HistoryQuestion(_Question):
    """The values of which metric of which runs."""

    run_ids: Annotated[list[str], Field(max_length=MOST_RESULTS)]
    metric: str


class CheckpointAnswer(BaseModel):
    """A checkpoint."""

    id: str
    run_id: str
    experiment_id: str
    experiment: str
    name: str
    epoch: int | None
    step: int | None
    metrics: dict[str, Number]
    params: dict[str, str]
    tags: dict[str, str]
    model_class: str
    model_text: str
    rebuild: Literal["constructor", "structure", "torchscript", "none"]
    size: int
    created_at: int
    artifact_uri: str
    manifest_digest: str


class CheckpointsAnswer(BaseModel):
    """Checkpoints, and what deserves a look where there are none: names that nothing has."""

    checkpoints: list[CheckpointAnswer]
    note: str | None = None


class ValueAnswer(BaseModel):
    """The value of a metric at an epoch."""

    epoch: int | None
    value: Number


class HistoryAnswer(BaseModel):
    """By run the values over the epochs, ascending."""

    history: dict[str, list[ValueAnswer]]


class NamesAnswer(BaseModel):
    """Names."""

    names: list[str]


class ExperimentAnswer(BaseModel):
    """An experiment that has checkpoints."""

    id: str
    name: str
    checkpoints: int
    runs: int
    latest: int


class ExperimentsAnswer(BaseModel):
    """Experiments, the most recently used first."""

    experiments: list[ExperimentAnswer]


class StatisticsAnswer(BaseModel):
    """What there is, as far as you may see it."""

    experiments: int
    runs: int
    checkpoints: int
    bytes: int
    latest: int | None


class ViewerAnswer(BaseModel):
    """Who you are, and how many experiments you may read."""

    user: str | None
    experiments: int


class LineageAnswer(BaseModel):
    """A version of a registered model, and where it comes from, as far as you may see it."""

    name: str
    version: int
    aliases: list[str]
    description: str
    created_at: int
    checkpoint: CheckpointAnswer | None
    is_in_catalog: Annotated[bool, Field(description="Whether the checkpoint is still there.")]


class RegisteredModelSummary(BaseModel):
    """A registered model."""

    name: str
    description: str
    aliases: Annotated[dict[str, int], Field(description="Versions by alias.")]
    updated_at: int


class RegisteredModelAnswer(RegisteredModelSummary):
    """A registered model with its versions, the newest first."""

    versions: list[LineageAnswer]


class RegisteredModelsAnswer(BaseModel):
    """Registered models, by name."""

    models: list[RegisteredModelSummary]


class ErrorAnswer(BaseModel):
    """What went wrong."""

    error: str
    message: str


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The question can't be read or answered."},
    401: {"model": ErrorAnswer, "description": "MLflow asks for credentials, or knows others."},
    404: {"model": ErrorAnswer, "description": "There is none, as far as you may see."},
    "4XX": {"model": ErrorAnswer, "description": "The question was refused."},
    503: {"model": ErrorAnswer, "description": "MLflow or the catalog can't be asked now."},
}
"""The answers that every question may have beside the good one."""
