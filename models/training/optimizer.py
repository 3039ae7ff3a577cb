"""Muon makes each matrix of momentum orthogonal, so that all directions learn at one rate (Jordan et al., 2024)."""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from small_network import Tokenizer


def orthogonalize(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Newton-Schulz iteration on a stack of matrices `[n, rows, columns]`, which brings singular values to about 1.

    Each iterate is a polynomial of the Gram matrix times the matrix, so the iteration only needs the square matrices of
    the shorter side.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram, whole = x @ x.mT, None
    one = torch.eye(x.shape[1], device=x.device)
    for _ in range(iterations):
        factor = a * one + b * gram + c * gram @ gram
        gram = factor @ gram @ factor
        whole = factor if whole is None else factor @ whole
    x = whole @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels, as matrices of output by input. Kernels with the same shape are stacked."""

    def __init__(
        self, kernels: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.1
    ) -> None:
        super().__init__(kernels, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                velocity = self.state[kernel].setdefault("velocity", torch.zeros_like(kernel))
                velocity.lerp_(kernel.grad, 1 - group["momentum"])
                alike[kernel.shape].append((kernel, kernel.grad.lerp(velocity, group["momentum"])))
            for shape, updates in alike.items():
                stack = torch.stack([update.flatten(1) for _, update in updates])
                # 0.2 is the usual size of AdamW's update, so that learning rates compare.
                scale = 0.2 * max(stack.shape[1:]) ** 0.5
                for (kernel, _), update in zip(updates, orthogonalize(stack), strict=True):
                    kernel.mul_(1 - group["lr"] * group["weight_decay"])
                    kernel.add_(update.view(shape), alpha=-group["lr"] * scale)


def optimizers(tokenizer: Tokenizer, muon_rate: float, adam_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the kernels between hidden layers; AdamW for biases, the norm and the layers next to the codes."""
    kernels, others = [], []
    for name, parameter in tokenizer.named_parameters():
        touches_codes = any(part in name for part in (".code.", ".linear."))
        (kernels if parameter.ndim == 4 and not touches_codes else others).append(parameter)
    adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.99), weight_decay=0.0)
    return [Muon(kernels, lr=muon_rate), adam]
