"""Settings of the whole suite: poisoned memory, fixed seeds, threads shared among workers."""

import os

import hypothesis
import pytest
import torch

DEVICES = ["cpu"]

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
    assert torch.empty(3).isnan().all()


@pytest.fixture(scope="session", autouse=True)
def fair_share_of_cores():
    """Workers of pytest-xdist divide the cores instead of fighting for them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)
