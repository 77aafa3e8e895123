"""The device of a job: the GPU that Ray gave this process, if PyTorch can use it, else the CPU."""

import sys

import torch


def device_of_job() -> str:
    """Return "cuda" or "cpu". Ray has made only the GPU of the job visible, so its number is not needed.

    A GPU may be declared to Ray on a machine whose PyTorch has no CUDA: then the CPU does the work, and a line in the
    worker's log says so (the driver says it too, before anything is played).
    """
    import ray

    if not ray.get_gpu_ids():
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    print(f"PyTorch {torch.__version__} sees no GPU where Ray has one: the CPU does the work", file=sys.stderr)
    return "cpu"


def device_of_worker() -> str:
    """Return the device of a worker of Ray Train, of which several may see one another's GPUs: "cuda:1", or "cpu"."""
    device = device_of_job()
    if device == "cpu":
        return device
    from ray.train.torch import get_device

    return str(get_device())
