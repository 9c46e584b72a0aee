"""Train a small network to tell two spirals apart, in plain Python: a stand-in for a training script of your own.

python spirals.py config/small.yaml --out_dir out --lr 0.1
"""

import argparse
import math
import random

import yaml


def spirals(count, seed):
    """Points on two spirals with some noise, and the spiral of each."""
    draw = random.Random(seed)
    points = []
    for number in range(count):
        label, angle = number % 2, 0.5 + 6 * draw.random()
        turn = angle + math.pi * label
        noise = draw.gauss(0, 0.12), draw.gauss(0, 0.12)
        points.append(([angle * math.cos(turn) / 4 + noise[0], angle * math.sin(turn) / 4 + noise[1]], label))
    return points


def forward(net, point):
    hidden = [math.tanh(w[0] * point[0] + w[1] * point[1] + w[2]) for w in net["in"]]
    return hidden, sum(w * h for w, h in zip(net["out"], hidden, strict=True)) + net["bias"]


def loss_of(net, points):
    total = 0.0
    for point, label in points:
        score = forward(net, point)[1] * (1 if label else -1)
        total += math.log1p(math.exp(-score)) if score > -700 else -score
    return total / len(points)


def train_epoch(net, points, lr):
    for point, label in points:
        hidden, score = forward(net, point)
        error = 1 / (1 + math.exp(-score)) - label
        for unit, (w, h) in enumerate(zip(net["in"], hidden, strict=True)):
            slope = error * net["out"][unit] * (1 - h * h)
            net["out"][unit] -= lr * error * h
            w[0] -= lr * slope * point[0]
            w[1] -= lr * slope * point[1]
            w[2] -= lr * slope
        net["bias"] -= lr * error


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--out_dir", required=True)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--hidden", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    with open(given.config) as file:  # noqa: PTH123
        settings = {"lr": 0.1, "hidden": 16, "epochs": 100, "seed": 0, **(yaml.safe_load(file) or {})}
    settings.update({key: value for key, value in vars(given).items() if key in settings and value is not None})
    draw = random.Random(settings["seed"])
    net = {
        "in": [[draw.gauss(0, 2), draw.gauss(0, 2), draw.gauss(0, 1)] for _ in range(settings["hidden"])],
        "out": [draw.gauss(0, 0.3) for _ in range(settings["hidden"])],
        "bias": 0.0,
    }
    points, held_out = spirals(400, 1), spirals(200, 2)
    for epoch in range(1, settings["epochs"] + 1):
        draw.shuffle(points)
        train_epoch(net, points, settings["lr"])
        loss, val_loss = loss_of(net, points), loss_of(net, held_out)
        right = sum((forward(net, point)[1] > 0) == (label == 1) for point, label in held_out) / len(held_out)
        print(f"epoch {epoch}/{settings['epochs']}: loss {loss:.4f}, val_loss {val_loss:.4f}, val_acc {right:.3f}")
    with open(f"{given.out_dir}/net.yaml", "w") as file:  # noqa: PTH123
        yaml.safe_dump(net, file)


if __name__ == "__main__":
    main()
