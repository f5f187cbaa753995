from __future__ import annotations

import os
import signal

import pytest

from tracker.format.digests import digest, is_digest


def test_it_is_blake3():
    # The first test vector of the BLAKE3 specification.
    assert digest(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_many_threads_give_the_digest_of_one():
    from blake3 import blake3

    data = bytes(range(256)) * (1 << 14)
    assert digest(data) == blake3(data).hexdigest()


@pytest.mark.parametrize("text", ["", "A" * 64, "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n"])
def test_only_lowercase_hex_of_the_right_length_is_a_digest(text):
    assert not is_digest(text)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_can_hash_large_data_though_its_parent_has():
    data = bytes(1 << 24)
    expected = digest(data)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if digest(data) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
