"""The law of every bijection: its log-determinant is that of the autograd Jacobian."""

import torch
from torch.autograd.functional import jacobian


def assert_log_det_is_that_of_the_jacobian(maps, x: torch.Tensor) -> None:
    """maps: rows -> (rows, log |det| of each); row by row to 1e-9."""
    _, log_det = maps(x)
    for row, expected in zip(x, log_det, strict=True):
        J = jacobian(lambda r: maps(r[None])[0][0], row).reshape(row.numel(), row.numel())
        torch.testing.assert_close(torch.linalg.slogdet(J).logabsdet, expected, rtol=1e-9, atol=1e-9)
