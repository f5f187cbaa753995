"""A training that several processes do together, as the tests of distributed training start it.

``python -m tests.system.spread_training RANK SIZE MEETING JSON``: trains a small network on the
handwritten digits, spread in the way that the JSON says, and prints a line of JSON about itself.
"""

import json
import os
import signal
import sys
from datetime import timedelta

import torch
import torch.distributed as distributed
from sklearn.datasets import load_digits
from torch import nn

import tracker

DIGITS = load_digits()
IMAGES = torch.tensor(DIGITS.data[:256], dtype=torch.float32) / 16
LABELS = torch.tensor(DIGITS.target[:256])


class Block(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Net(nn.Module):
    """Its 11, 6 and 10 units are shared out unevenly over 2 and 4 processes."""

    def __init__(self, width=11, inner=6, depth=2, *, tied=False):
        super().__init__()
        self.first = nn.Linear(64, width)
        self.blocks = nn.ModuleList(Block(width, inner) for _ in range(depth))
        self.dropout = nn.Dropout(0.2)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 10)
        self.register_buffer("scale", torch.ones(10), persistent=False)
        self.frozen = nn.Parameter(torch.linspace(0, 1, 10), requires_grad=False)
        if tied:
            self.blocks[1].up.weight = self.blocks[0].up.weight

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(self.dropout(x))) * self.scale + self.frozen


def main(rank, size, meeting, order):
    if size > 1 or order["spread"] != "alone":
        distributed.init_process_group(
            "gloo",
            f"file://{meeting}",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=60),
        )
    if order.get("offline"):
        os.environ["TRACKER_OFFLINE"] = "1"
    torch.manual_seed(7)
    model = spread(Net(tied=order.get("tied", False)), order["spread"], size)
    # Processes that have parts of the same layers see the same images.
    sees = {"tp": 0, "2d": rank // max(size // 2, 1)}.get(order["spread"], rank)
    torch.manual_seed(100 + sees)
    optimizer = getattr(torch.optim, order.get("optimizer", "AdamW"))(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    sampler = torch.Generator().manual_seed(sees)
    said = {"rank": rank}
    start = 0
    if "resume" in order:
        given = {"optimizer": optimizer, "scheduler": scheduler, "state": {"sampler": sampler}}
        checkpoint = tracker.resume(f"models:/{order['resume']}", model=model, **given)
        start = checkpoint.epoch + 1
        said["resumed"] = checkpoint.epoch
        said["after_resume"] = gathered(model, optimizer)
    pending = []
    for epoch in range(start, order["epochs"]):
        train(model, optimizer, sampler)
        scheduler.step()
        if rank == order.get("silent"):
            continue
        if rank == order.get("killed") and epoch == order["killed_in"]:
            kill_when(order["killed_at"])
        try:
            metrics = {"loss": "bad" if rank == order.get("bad") else 1 / (epoch + 1)}
            pending.append(
                tracker.log_checkpoint(
                    model,
                    epoch=epoch,
                    metrics=metrics,
                    optimizer=optimizer,
                    scheduler=scheduler,
                    state={"sampler": sampler, "rank": rank, "twin": twin(model, order)},
                )
            )
        except tracker.TrackerError as error:
            said.setdefault("raised", []).append(f"{type(error).__name__}: {error}")
    said["outcomes"] = [outcome(each) for each in pending]
    if "killed" in order:  # nothing can be gathered any more
        print(json.dumps(said), flush=True)
        os._exit(0)
    said["final"] = gathered(model, optimizer)
    print(json.dumps(said), flush=True)
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def twin(model, order):
    return 1.5 if order["spread"] in ("alone", "ddp") else {"head": plain(model).head.weight}


def plain(model):
    return model.module if hasattr(model, "module") else model


def outcome(pending):
    try:
        return pending.result(timeout=50).id
    except tracker.TrackerError as error:
        return f"{type(error).__name__}: {error}"


def train(model, optimizer, sampler):
    for _ in range(2):
        chosen = torch.randint(len(IMAGES), (32,), generator=sampler)
        loss = nn.functional.cross_entropy(model(IMAGES[chosen]), LABELS[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def spread(model, how, size):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
    if how == "ddp":
        return nn.parallel.DistributedDataParallel(model)
    if how == "tp":
        mesh = init_device_mesh("cpu", (size,))
        for block in model.blocks:
            parallelize_module(block, mesh, plan)
    if how == "2d":
        mesh = init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("dp", "tp"))
        for block in model.blocks:
            parallelize_module(block, mesh["tp"], plan)
            fully_shard(block, mesh=mesh["dp"])
        fully_shard(model, mesh=mesh["dp"])
    if how == "hsdp":
        mesh = init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("replicate", "shard"))
        for block in model.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
    if how == "fsdp":
        policy = MixedPrecisionPolicy(torch.bfloat16, output_dtype=torch.float32)
        for block in model.blocks:
            fully_shard(block, mp_policy=policy)
        fully_shard(model, ignored_params={model.frozen})
    return model


def gathered(model, optimizer):
    """Return every number of model and optimizer, as their sum and a digest of their bytes."""
    state = plain(model).state_dict()
    for index, entries in optimizer.state_dict()["state"].items():
        state |= {f"{index}.{name}": value for name, value in entries.items()}
    numbers = [
        value.full_tensor() if hasattr(value, "full_tensor") else value for value in state.values()
    ]
    from blake3 import blake3

    whole = blake3()
    for each in numbers:
        whole.update(each.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def kill_when(what):
    """Die when this process's log has a message that begins so, or at once."""
    if what == "now":
        os.kill(os.getpid(), signal.SIGKILL)
    import logging

    class Killing(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith(what):
                os.kill(os.getpid(), signal.SIGKILL)

    for name in ("tracker.saving", "tracker.format"):
        logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger(name).addHandler(Killing())


if __name__ == "__main__":
    from tests.system import spread_training  # so that its classes are found by another process

    spread_training.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
