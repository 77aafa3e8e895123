"""Likelihoods of two models without a network, in which pixels are independent: one for grey levels, one for binary."""

import torch

from pipelines.evaluation.prepared_rows import RowsOf

ROWS_AT_ONCE = 4096


def histogram_log_prob(prepared: RowsOf) -> float:
    """Return the mean log-likelihood of test rows, in nats, under a histogram of the training rows for each pixel.

    The data are on grey levels. 1 is added to the count of each grey level, so that none has probability 0.
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
    """Return the mean over test rows x of E_y log p(y), in nats, for the binary row y ~ Bernoulli(x/(q - 1)).

    The data are on the grey levels 0 .. q - 1. Under p, pixel i is 1 with probability

        p_i = (1/2 + sum over training rows of x_i/(q - 1)) / (number of training rows + 1),

    independently of the others. The 1/2 keeps the log finite for a pixel that is 0 in all training rows.
    """
    top = (prepared.data.levels or 2) - 1
    train, test = (prepared.normal(split).flatten(1).double() / top for split in ("train", "test"))
    p = (train.sum(dim=0) + 0.5) / (len(train) + 1)
    return (torch.xlogy(test, p) + torch.xlogy(1 - test, 1 - p)).sum(dim=1).mean().item()
