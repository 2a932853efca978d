"""Settings of the whole suite: devices, poisoned memory, fixed seeds, shared cores and memory.

CNNOPS_TEST_DEVICES names the devices to test, separated by spaces or commas; one that is not usable
is an error. By default it is the CPU, and CUDA where there are a GPU and kernels for it.
"""

import fcntl
import os

import hypothesis
import pytest
import torch

from cnnops._dispatch import has_kernels

# cuBLAS reads it when it starts; without it torch's own matrix products may differ between runs.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def usable_devices():
    return ["cpu", *(["cuda"] if torch.cuda.is_available() and has_kernels("cuda") else [])]


def chosen_devices():
    names = os.environ.get("CNNOPS_TEST_DEVICES", "").replace(",", " ").split()
    unusable = [name for name in names if name not in usable_devices()]
    if unusable:
        raise pytest.UsageError(
            f"CNNOPS_TEST_DEVICES must name some of {', '.join(usable_devices())}, which have both "
            f"hardware and kernels here, got {', '.join(unusable)}"
        )
    return names or usable_devices()


DEVICES = chosen_devices()

hypothesis.settings.register_profile("quick", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("CNNOPS_HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", params=DEVICES)
def device(request):
    """Every device with registered kernels."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def poisoned_memory():
    """Fill what an allocation returns with NaN, so that an element no kernel wrote shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert all(torch.empty(3, device=device).isnan().all() for device in DEVICES)


@pytest.fixture
def unpoisoned_memory():
    """What an allocation returns stays as it is, for tests with gigabytes or with their own aim."""
    torch.utils.deterministic.fill_uninitialized_memory = False
    yield
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture(scope="session", autouse=True)
def full_float32():
    """On CUDA float32 means float32; torch by default lets convolutions round to TF32."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@pytest.fixture(scope="session", autouse=True)
def fair_share_of_cores():
    """Workers of pytest-xdist divide the cores instead of fighting for them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture
def much_memory(tmp_path_factory, unpoisoned_memory):
    """Tests with gigabytes wait for each other, so that parallel workers never add theirs up.

    The fixture is a function that skips the test where a device has less than so many bytes free.
    """

    def need(device, size):
        if torch.device(device).type == "cuda":
            torch.cuda.empty_cache()
            free, _ = torch.cuda.mem_get_info(device)
            if free < size:
                pytest.skip(f"needs {size / 1e9:.1f} GB of {device} memory, {free / 1e9:.1f} free")

    with open(tmp_path_factory.getbasetemp().parent / "large.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield need
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
