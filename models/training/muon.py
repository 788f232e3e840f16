"""Muon: momentum whose update matrices are made orthogonal (Jordan et al., 2024)."""

import torch


def orthogonalise(matrix, steps=5):
    """Move all singular values towards 1 by a Newton-Schulz iteration."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of linear layers and convolutions (seen as [out, rest]).

    The update is scaled to the size of an AdamW update, so that both
    optimizers can share learning rate and weight decay.
    """

    def __init__(self, parameters, lr=1e-3, momentum=0.95, weight_decay=0.0):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(momentum, group["momentum"])
                matrix = update.reshape(update.shape[0], -1)
                scale = 0.2 * max(matrix.shape) ** 0.5
                update = orthogonalise(matrix).view(update.shape)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * scale)
