"""Likelihoods of models without a network, in which pixels are independent: for grey levels and for binary pixels."""

import torch

from pipelines.evaluation.prepared_rows import RowsOf

ROWS_AT_ONCE = 4096


def histogram_log_prob(prepared: RowsOf) -> float:
    """Return the mean log-likelihood of test rows, in nats, with a histogram of the training rows for each pixel.

    1 is added to each count, so that no level has probability 0.
    """
    levels = prepared.data.levels or 1
    train, test = (prepared.normal(split).flatten(1).long() for split in ("train", "test"))
    counts = torch.ones(train.shape[1] * levels)
    cells = levels * torch.arange(train.shape[1])
    for rows in train.split(ROWS_AT_ONCE):  # in blocks, which bounds the memory
        counts += torch.bincount((rows + cells).flatten(), minlength=len(counts))
    counts = counts.reshape(train.shape[1], levels)
    log_p = (counts / counts.sum(dim=1, keepdim=True)).log().double()
    return log_p.gather(1, test.T).sum(dim=0).mean().item()


def bernoulli_log_prob(prepared: RowsOf) -> float:
    """Return the mean over test rows of E_y log p(y), in nats, with y_i ~ Bernoulli(x_i/(levels - 1)).

    The pixels of p are independent: p_i = (sum of x_i/(levels - 1) + 1/2)/(rows + 1) over the training rows. The 1/2
    keeps the log finite for a pixel that never has ink.
    """
    top = (prepared.data.levels or 2) - 1
    train, test = (prepared.normal(split).flatten(1).double() / top for split in ("train", "test"))
    p = (train.sum(dim=0) + 0.5) / (len(train) + 1)
    return (torch.xlogy(test, p) + torch.xlogy(1 - test, 1 - p)).sum(dim=1).mean().item()
