from __future__ import annotations

import os
import signal
import threading

import pytest

from tracker.format.digests import digest, digests, is_digest


def test_it_is_blake3():
    # The first test vector of the BLAKE3 specification.
    assert digest(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_many_threads_give_the_digest_of_one():
    from blake3 import blake3

    data = bytes(range(256)) * (1 << 14)
    assert digest(data) == blake3(data).hexdigest()


@pytest.mark.parametrize("sizes", [[], [0], [1] * 50, [1 << 20] * 5, [1 << 24, 0, 7, 3 << 20, 9]])
@pytest.mark.parametrize("cores", [1, 2, 16])
def test_many_parts_have_the_digests_of_each(sizes, cores, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    parts = [memoryview(bytes([number % 256]) * size) for number, size in enumerate(sizes)]
    assert digests(parts) == [digest(part) for part in parts]


def test_they_are_found_where_no_thread_can_be_started(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    parts = [bytes([number]) * (1 << 20) for number in range(4)]
    assert digests(parts) == [digest(part) for part in parts]


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
