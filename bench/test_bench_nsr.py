"""The scanner with every disguise on, beside other libraries that look for the plain markers alone.

Other libraries can only be called from Python, so the two groups time our call from Python as well; `scan_ns` and
`gigabytes_per_second` are of a loop inside the extension.
"""

import json
import time

import pytest
from scanners import FINDERS, Finder

from lexmesh.nsr import NsrPolicy, RuleSpec

READING = {
    "type": "sensor_reading",
    "source_node": "lex_amoris_compute",
    "target_node": "bio_synth_ai_control",
    "timestamp": 1763791200000,
    "metadata": {"sensor_id": "bio_sensor_01", "site": "north"},
    "data": {"temperature": 22.5, "humidity": 65, "unit": "celsius", "quality": "good", "status": "stable"},
}
SENTENCE = "the quick brown sensor jumps over a lazy mycelium at 22.5 degrees, humidity sixty five; "
TEXTS = {
    "clean": SENTENCE,
    "dirty": SENTENCE + "R&D at 100% – naïve, aGVsbG8gd29ybGQ, 68656c6c6f ",
    "all escapes": "%25252541&amp;#65;\\\\u0041",
    "all candidates": "for orc arm xpl exploi harmo forc ",
    "all non-ASCII": "сила жизни λόγος ",
    "all numbers": "102, 0x66 6f 141 22, ",
    "all quoted": "=66=6F=\n",
    "all set apart": "a-G-F-y-b-Q-",
    "all lines": "Y2FsbSBzZW5zb3JzIG9mIGEgZ3JlZW5o\n",
    "all blobs and blanks": "A1A1A1" + " " * 15,
    "all encoded twice": "WTJGc2JTQnpaVzV6YjNKeklH IiYjMzg7YW1wO2FtcDs= %2526é ",
}
LARGE = 118_000


@pytest.fixture(scope="module")
def policy() -> NsrPolicy:
    return NsrPolicy.default()


def instruction(text: str, size: int) -> bytes:
    body = (text * (size // len(text) + 1))[:size]
    return json.dumps({"type": "agent_message", "data": {"text": body}}, ensure_ascii=False).encode()


def nanoseconds(policy: NsrPolicy, raw: bytes, count: int) -> float:
    """For one scan, the best of five loops."""
    policy.scanner.bench_loop(raw, 0, 3)
    return min(policy.scanner.bench_loop(raw, 0, count) for _ in range(5)) / count


@pytest.mark.benchmark(group="clean 300-byte message")
def test_clean_300_byte_message(benchmark, policy: NsrPolicy) -> None:  # type: ignore[no-untyped-def]
    raw = json.dumps(READING).encode()
    assert policy.scanner.scan_json(raw)[0]
    benchmark.extra_info["scan_ns"] = nanoseconds(policy, raw, 200_000)
    benchmark(policy.scanner.scan_json, raw)


def test_large_clean_ascii(benchmark, policy: NsrPolicy) -> None:  # type: ignore[no-untyped-def]
    raw = instruction(SENTENCE, 1_000_000)
    assert policy.scanner.scan_json(raw)[0]
    benchmark.extra_info["gigabytes_per_second"] = len(raw) / nanoseconds(policy, raw, 10)
    benchmark.pedantic(policy.scanner.bench_loop, (raw, 0, 10), rounds=3)


@pytest.mark.benchmark(group="118 KB of clean ASCII")
def test_large_text(benchmark, policy: NsrPolicy) -> None:  # type: ignore[no-untyped-def]
    raw = instruction(SENTENCE, LARGE)
    assert policy.scanner.scan_json(raw)[0]
    assert not policy.scanner.scan_json(raw[:-3] + b' harm"}}')[0]
    benchmark(policy.scanner.scan_json, raw)
    benchmark.extra_info["gigabytes_per_second"] = len(raw) / nanoseconds(policy, raw, 50)


@pytest.mark.parametrize("kind", TEXTS)
def test_time_is_linear(benchmark, policy: NsrPolicy, kind: str) -> None:  # type: ignore[no-untyped-def]
    sizes = [1_000, 4_000, 16_000, 64_000, 250_000, 500_000]
    ratios = {
        size: nanoseconds(policy, instruction(TEXTS[kind], 2 * size), max(2, 400_000 // size))
        / nanoseconds(policy, instruction(TEXTS[kind], size), max(2, 400_000 // size))
        for size in sizes
    }
    benchmark.extra_info["time_2n_over_n"] = ratios
    raw = instruction(TEXTS[kind], 100_000)
    benchmark.extra_info["ns_per_byte"] = nanoseconds(policy, raw, 3) / len(raw)
    benchmark.pedantic(policy.scanner.bench_loop, (raw, 0, 1), rounds=3)
    assert max(ratios.values()) <= 2.2, ratios


def verified(finder: Finder) -> Finder:
    """A finder that has shown that it finds markers, and only markers."""
    assert all(finder(text) for text in (b"a FORCE", b"an Exploit.", b'{"override_consent": 1}', b"harm"))
    assert not any(finder(text) for text in (b"", b"workforce", b"charm", b"harmony", b"reinforced"))
    return finder


@pytest.mark.benchmark(group="clean 300-byte message")
@pytest.mark.parametrize("library", FINDERS)
def test_other_library_on_the_plain_markers(benchmark, library: str) -> None:  # type: ignore[no-untyped-def]
    find = verified(FINDERS[library]())
    raw = json.dumps(READING).encode()
    assert not find(raw) and find(raw.replace(b"stable", b"Force"))
    benchmark(find, raw)


@pytest.mark.benchmark(group="118 KB of clean ASCII")
@pytest.mark.parametrize("library", FINDERS)
def test_other_library_on_large_text(benchmark, library: str) -> None:  # type: ignore[no-untyped-def]
    find = verified(FINDERS[library]())
    raw = instruction(SENTENCE, LARGE)
    assert not find(raw) and find(raw[:-3] + b' harm"}}')
    benchmark(find, raw)
    benchmark.extra_info["gigabytes_per_second"] = len(raw) / benchmark.stats.stats.median / 1e9


def test_five_thousand_markers(benchmark) -> None:  # type: ignore[no-untyped-def]
    letters = "bcdfghjklmnpqrstvwxz"
    markers = tuple("q" + "".join(letters[n * 577 // 20**p % 20] for p in range(5)) for n in range(5_000))
    policy = NsrPolicy((RuleSpec("many", scope=("metadata values", "payload strings"), markers=markers),))
    raw = instruction(SENTENCE, 100_000)
    assert policy.scanner.scan_json(raw)[0]
    started = time.perf_counter_ns()
    benchmark.pedantic(policy.scanner.bench_loop, (raw, 0, 1), rounds=3)
    assert time.perf_counter_ns() - started < 10**10
