"""flags forces and forbids algorithms, and always gives back what held before."""

import re

import pytest
import torch

import cnnops

ALGORITHMS = torch.ops.cnnops._conv2d_algorithms()


def held():
    """The flags that hold now; reading them means setting them."""
    now = torch.ops.cnnops._conv2d_set_flags("", [])
    torch.ops.cnnops._conv2d_set_flags(*now)
    return now[0], list(now[1])


DEFAULT = ("", [])


def test_holds_within_the_block_only():
    with cnnops.flags(ALGORITHMS[-1]):
        assert held() == (ALGORITHMS[-1], [])
        with cnnops.flags(exclude=ALGORITHMS[:1]):
            assert held() == ("", ALGORITHMS[:1])
        assert held() == (ALGORITHMS[-1], [])
    assert held() == DEFAULT


def test_ends_with_an_error():
    with pytest.raises(KeyError), cnnops.flags(ALGORITHMS[0]):
        raise KeyError
    assert held() == DEFAULT


def test_one_object_twice():
    forced = cnnops.flags(ALGORITHMS[0])
    with forced, cnnops.flags(), forced:
        assert held() == (ALGORITHMS[0], [])
    assert held() == DEFAULT


def test_decorates_a_function():
    @cnnops.flags(exclude=ALGORITHMS[0])
    def inside(depth):
        return inside(depth - 1) if depth else held()

    assert inside(2) == ("", ALGORITHMS[:1])
    assert held() == DEFAULT


@pytest.mark.parametrize("argument", [{"algorithm": "fft"}, {"exclude": ["fft"]}])
def test_unknown_name(argument):
    (name,) = argument
    text = f"flags: {name} must be one of {', '.join(ALGORITHMS)}, got 'fft'"
    with pytest.raises(ValueError, match=re.escape(text)):
        cnnops.flags(**argument)


def test_forced_and_forbidden():
    text = f"flags: exclude must not hold the algorithm, got {ALGORITHMS[0]!r}"
    with pytest.raises(ValueError, match=re.escape(text)):
        cnnops.flags(ALGORITHMS[0], exclude=ALGORITHMS)
