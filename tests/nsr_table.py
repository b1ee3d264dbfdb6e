"""Prints what the default policy catches and wrongly refuses: `PYTHONPATH=. python tests/nsr_table.py [-v]`."""

import itertools
import json
import random
import sys
from collections import Counter

from nsr_evasions import ALL_EVASIONS, EVASIONS, MARKERS
from nsr_honest import HONEST
from nsr_messages import PLACES, json_line, placed, proto_message

from lexmesh.nsr import NsrPolicy

FORMATS = ("JSON", "protobuf")


def refused(policy: NsrPolicy, text: str, place: str, wire: str) -> bool:
    """Whether a message with `text` at `place` is refused."""
    event_type, metadata, data = placed(text, place)
    if wire == "JSON":
        return not policy.scanner.scan_json(json_line(event_type, metadata, data))[0]
    payload = json.dumps(data, ensure_ascii=False).encode()
    return not policy.scanner.scan_proto(proto_message(event_type, metadata, payload))[0]


def missed(policy: NsrPolicy, group: str) -> list[str]:
    """The disguises of a class that pass, of every marker, place and format; what changes nothing is plain."""
    return [
        f"{name} of {marker} as {place} in {wire}"
        for name, change in EVASIONS[group].items()
        for marker, place, wire in itertools.product(MARKERS, PLACES, FORMATS)
        if not refused(policy, change(marker), place, wire)
    ]


def false_alarms(policy: NsrPolicy, texts: list[str]) -> list[str]:
    return [
        f"{text!r} as {place} in {wire}"
        for text, place, wire in itertools.product(texts, PLACES, FORMATS)
        if refused(policy, text, place, wire)
    ]


def pair_rate(policy: NsrPolicy, count: int, seed: int = 1) -> tuple[float, Counter[str]]:
    """The share of random combinations of two disguises that is caught, and the pairs of classes that are missed."""
    pick = random.Random(seed)
    names = list(ALL_EVASIONS)
    lost: Counter[str] = Counter()
    for _ in range(count):
        first, second = pick.sample(names, 2)
        text = ALL_EVASIONS[second](ALL_EVASIONS[first](pick.choice(MARKERS)))
        if not refused(policy, text, pick.choice(PLACES), pick.choice(FORMATS)):
            lost[f"{first.split(':')[0]}, then {second.split(':')[0]}"] += 1
    return 1 - sum(lost.values()) / count, lost


def main() -> None:
    policy = NsrPolicy.default()
    print("| class | disguises | messages | caught |\n| --- | ---: | ---: | ---: |")
    for group, changes in EVASIONS.items():
        messages = len(changes) * len(MARKERS) * len(PLACES) * len(FORMATS)
        lost = missed(policy, group)
        print(f"| {group} | {len(changes)} | {messages} | {100 * (1 - len(lost) / messages):.2f} % |")
        for line in lost[:5] if "-v" in sys.argv else ():
            print(f"    missed: {line}")
    rate, lost_pairs = pair_rate(policy, 20_000)
    print(f"| two at random | {len(ALL_EVASIONS) ** 2 - len(ALL_EVASIONS)} | 20000 | {100 * rate:.2f} % |")
    for pair, count in lost_pairs.most_common(12) if "-v" in sys.argv else ():
        print(f"    missed: {count} {pair}")
    print("\n| honest text | texts | messages | false alarms |\n| --- | ---: | ---: | ---: |")
    for group, texts in HONEST.items():
        wrong = false_alarms(policy, texts())
        print(f"| {group} | {len(texts())} | {len(texts()) * len(PLACES) * len(FORMATS)} | {len(wrong)} |")
        for line in wrong[:5] if "-v" in sys.argv else ():
            print(f"    refused: {line}")


if __name__ == "__main__":
    main()
