"""What people run on their machines in test_team.py: each has a URL and an account, no more."""

from __future__ import annotations

from .scripts import THREE_EPOCHS

TRAIN_AND_REGISTER = f"""{THREE_EPOCHS}
best = tracker.best_checkpoint("val_loss", experiment="digits")
version = tracker.register(best, "digits-cnn", alias="champion")
registry = mlflow.get_experiment_by_name("registry/digits-cnn")
print(best.run_id, mlflow.get_experiment_by_name("digits").experiment_id, registry.experiment_id)
"""
"""Prints the run and the two experiments that it made."""

LOAD_CHAMPION = """
import sys
import torch
import tracker

x, y = torch.load(sys.argv[1], weights_only=True)
model = tracker.load_model("models:/digits-cnn@champion", trust="source")
assert torch.equal(model(x), y)
print(type(model).__name__)
"""
"""Where neither the class nor its module is: the source comes with the checkpoint."""

TRY_TO_WRITE = """
import mlflow
from torch import nn

run_id = sys.argv[2]
tries = {
    "log": lambda: tracker.log_checkpoint(nn.Linear(1, 1), epoch=0, run_id=run_id).result(60),
    "promote": lambda: tracker.promote("digits-cnn", 1, alias="mine"),
    "delete": lambda: mlflow.MlflowClient().delete_run(run_id),
    "metric": lambda: mlflow.MlflowClient().log_metric(run_id, "val_loss", 0.0),
}
for name, call in tries.items():
    try:
        call()
        print(name, "DONE")
    except Exception as error:
        print(name, type(error).__name__, str(error).replace("\\n", " "))
"""
"""In a run of somebody else's; after LOAD_CHAMPION."""

PLAIN_MLFLOW = """
import os
from pathlib import Path
import mlflow

mlflow.set_experiment("plain")
for name in ("usual", "insisting"):
    if name == "insisting":
        for way in ("UPLOAD", "DOWNLOAD"):
            os.environ[f"MLFLOW_ENABLE_PROXY_MULTIPART_{way}"] = "true"
    content = os.urandom(3_000_000)
    Path(name).write_bytes(content)
    with mlflow.start_run() as run:
        mlflow.log_artifact(name)
    fetched = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path=name, dst_path="there"
    )
    assert Path(fetched).read_bytes() == content
"""
"""A client that has set nothing, and one that is told to go past the server."""

TRAIN_UNTIL_TOLD = """
import sys
import threading
import mlflow
import tracker
from torch import nn

told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
mlflow.set_experiment("endurance")
with mlflow.start_run():
    epoch = 0
    while not told.wait(1):
        tracker.log_checkpoint(nn.Linear(2, 2), epoch=epoch, metrics={"loss": 1.0 / (epoch + 1)})
        epoch += 1
        print("logged", flush=True)
"""
"""Logs until its standard input is closed; prints a line for each checkpoint."""

WRONG_CLOCKS = """
import json
import sys
import time

real, real_ns, wrong = time.time, time.time_ns, 0
time.time = lambda: real() + wrong
time.time_ns = lambda: real_ns() + wrong * 10**9

import mlflow
import tracker
from torch import nn

service, mlflow_alone = sys.argv[1:]
hours = 5 * 3600


def ask(*run_ids):
    answers = []
    for uri in (service, mlflow_alone):
        mlflow.set_tracking_uri(uri)
        latest = [tracker.get_checkpoint(run_id).epoch for run_id in run_ids]
        answers.append([latest, len(tracker.search_checkpoints())])
    return answers


wrong = hours
mlflow.set_tracking_uri(service)
mlflow.set_experiment("clocks")
before, run_ids = ask(), []
mlflow.set_tracking_uri(service)
for wrong in (-hours, hours, 0):
    with mlflow.start_run() as run:
        for epoch in range(2):
            tracker.log_checkpoint(nn.Linear(2, 2), epoch=epoch, metrics={"loss": 1.0})
    run_ids.append(run.info.run_id)
wrong = hours
print(json.dumps({"before": before, "after": ask(*run_ids), "run_ids": run_ids}))
"""
"""Asks when its clock is early, trains when it is late, early and right, and asks again.

It asks the service, and a mirror of MLflow alone: the latest epoch of each run, and how many
checkpoints there are.
"""
