"""The device of a job: the GPU that Ray gave this process, if PyTorch can use it, else the CPU."""

import sys

import torch


def device_of_job() -> str:
    """Return "cuda" or "cpu". Ray shows this process only the GPU of its job, so "cuda" needs no index.

    A machine may have declared a GPU to Ray although its PyTorch has no CUDA. Then the CPU does the work, and a line in
    the worker's log says so. The driver says it too, before any job starts.
    """
    import ray

    if not ray.get_gpu_ids():
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    print(f"PyTorch {torch.__version__} sees no GPU where Ray has one: the CPU does the work", file=sys.stderr)
    return "cpu"


def device_of_worker() -> str:
    """Return the device of a worker of Ray Train: "cpu", or a GPU with its index, such as "cuda:1".

    Several workers may see one another's GPUs, so the index says which GPU is this worker's.
    """
    device = device_of_job()
    if device == "cpu":
        return device
    from ray.train.torch import get_device

    return str(get_device())
