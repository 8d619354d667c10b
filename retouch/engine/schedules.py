"""Learning-rate factors as pure functions of (iteration, iterations): nothing to save, nothing to restore."""
from __future__ import annotations


def constant(iteration: int, iterations: int) -> float:
    """1 throughout (Ha0Tang/AttentionGAN @ 45da496: 60 epochs without decay)."""
    return 1.0


def linear_second_half(iteration: int, iterations: int) -> float:
    """1 for the first half, then linearly to 0 (StarGAN's paper; AGGAN's multi-domain code)."""
    return _linear_after(iteration, iterations, 0.5)


def linear_last_40(iteration: int, iterations: int) -> float:
    """1 for the first 60%, then linearly to 0: the small CPU recipes."""
    return _linear_after(iteration, iterations, 0.6)


def linear_last_third(iteration: int, iterations: int) -> float:
    """1 for the first two thirds, then linearly to 0 (albertpumarola/GANimation @ 40da9ae: 20 epochs and 10 more)."""
    return _linear_after(iteration, iterations, 2 / 3)


def step_at_80(iteration: int, iterations: int) -> float:
    """1 for the first 80%, then 0.1 (bluestyle97/STGAN-pytorch @ 1136a5d: at iteration 800,000 of 1,000,000)."""
    return 0.1 if 5 * iteration >= 4 * iterations else 1.0


def step_at_half(iteration: int, iterations: int) -> float:
    """1 for the first half, then 0.1 (elvisyjlin/AttGAN-PyTorch @ be2d6c6 and csmliu/STGAN @ 8a206ad: at epoch 100 of 200)."""
    return 0.1 if 2 * iteration >= iterations else 1.0


def halved_each_tenth(iteration: int, iterations: int) -> float:
    """Half as large after every tenth of the run (NVlabs/MUNIT @ a82e222: every 100,000 of 1,000,000 iterations)."""
    return 0.5 ** (10 * iteration // iterations)


def halved_in_second_half(iteration: int, iterations: int) -> float:
    """1 for the first half, then half as large after every twentieth of the run, nine times.

    As AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization @ 82bb58c steps, every 10,000 of the last 100,000 iterations.
    """
    return 0.5 ** (20 * max(0, iteration - 1 - iterations // 2) // iterations)


def exponential_second_half(iteration: int, iterations: int) -> float:
    """1 for the first half, then exponentially to 0.01 at the end (SeCGAN on AttGAN: 2e-4 to 2e-6)."""
    return min(1.0, 0.01 ** (2 * iteration / iterations - 1))


def stargan_code(iteration: int, iterations: int) -> float:
    """What yunjey/stargan @ 94dd002 does: every 1000 iterations of the second half, one step of 1/(iterations/2) is taken off.

    The factor at iteration 200,000 of 200,000 is 0.999 (a rate of 9.99e-5): the published decay never happened with default flags.
    """
    half = iterations // 2
    steps = max(0, iteration - half) // 1000
    return 1.0 - steps / half


def cyclegan_linear(iteration: int, iterations: int, epochs: int = 200, steady: int | None = None) -> float:
    """junyanz's epoch rule 1 - max(0, e + 1 - n)/(epochs - n + 1), n = `steady` or half of `epochs` of the run. Never exactly 0."""
    epoch = iteration * epochs // iterations
    steady = epochs // 2 if steady is None else steady
    return 1.0 - max(0, epoch + 1 - steady) / (epochs - steady + 1)


def _linear_after(iteration: int, iterations: int, start: float) -> float:
    return min(1.0, max(0.0, (iterations - iteration) / (iterations * (1 - start))))
