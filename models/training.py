"""The training loop that both networks share; a checkpoint after every epoch, from which a run continues."""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import data

BATCH = 256
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
WARM_UP = 0.1  # of all steps, while the learning rate rises
LAST_RATE = 0.01  # of the peak
AVERAGE = 0.999  # weights of record are an exponential moving average over steps
TEMPERATURE = 2.0  # of teacher and student
TEACHING = 0.7  # the share of the teacher in the loss


def arguments(description: str | None, epochs: int) -> argparse.Namespace:
    """The options that the training scripts have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=data.DEFAULT_FOLDER, help="folder of the four IDX files")
    parser.add_argument("--out", type=Path, default=Path("build/models"), help="folder of checkpoints")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return options


@torch.no_grad()
def accuracy(network: nn.Module, split: data.Split, batch: int = 500) -> float:
    """Top-1 accuracy in percent, in float32."""
    network.eval()
    parts = zip(split.images.split(batch), split.labels.split(batch), strict=True)
    right = sum((network(data.to_input(images)).argmax(1) == labels).sum().item() for images, labels in parts)
    return 100 * right / len(split.labels)


def loss_of(logits: Tensor, labels: Tensor, taught: Tensor | None) -> Tensor:
    """Cross entropy with the labels and, where there is a teacher, divergence from its softened answer."""
    hard = F.cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)
    if taught is None:
        return hard
    student, teacher = (F.log_softmax(x / TEMPERATURE, dim=1) for x in (logits, taught))
    soft = F.kl_div(student, teacher, reduction="batchmean", log_target=True) * TEMPERATURE**2
    return (1 - TEACHING) * hard + TEACHING * soft


def optimizer_of(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """AdamW; what has one axis (biases, norms) does not decay."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int) -> None:
    """Moves the average towards the network, faster in the first steps."""
    decay = min(AVERAGE, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def train(
    network: nn.Module,
    split: data.Split,
    *,
    rate: float,
    epochs: int,
    seed: int,
    checkpoint: Path,
    teacher: nn.Module | None = None,
) -> nn.Module:
    """Trains on `split` and returns the average of the weights after the last epoch: nothing is selected.

    Continues from `checkpoint` where it is there.
    """
    network = network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval()
    optimizer = optimizer_of(network, rate)
    generator = torch.Generator().manual_seed(seed + 1)
    steps = len(split.images) // BATCH
    total = steps * epochs

    def relative_rate(step: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
        return min(1.0, (step + 1) / (total * WARM_UP)) * (LAST_RATE + (1 - LAST_RATE) * cosine)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, relative_rate)
    parts = {"network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        done = state["epochs"]
    for epoch in range(done, epochs):
        begin, sum_of_losses = time.monotonic(), 0.0
        network.train()
        order = torch.randperm(len(split.images), generator=generator)
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            inputs = data.to_input(data.augment(split.images[chosen], generator))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(inputs).float()
                taught = None
                if teacher is not None:
                    with torch.no_grad():
                        taught = teacher(inputs).float()
                loss = loss_of(logits, split.labels[chosen], taught)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            follow(average, network, epoch * steps + step + 1)
            sum_of_losses += loss.item()
        seconds = time.monotonic() - begin
        print(f"epoch {epoch + 1}/{epochs}: loss {sum_of_losses / steps:.4f}, {seconds:.0f} s", flush=True)
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "generator": generator.get_state(), "epochs": epoch + 1}, checkpoint)
    return average


def load_average(network: nn.Module, checkpoint: Path) -> nn.Module:
    """`network` with the averaged weights of a checkpoint, in evaluation mode."""
    network.load_state_dict(torch.load(checkpoint)["average"])
    return network.to(memory_format=torch.channels_last).eval()
