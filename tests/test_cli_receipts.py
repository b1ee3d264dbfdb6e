"""Receipts: cumulative for a connection, summed over connections."""

from lexmesh.cli.receipts import Receipts


def receipt(taken: int, denied: int = 0) -> dict[str, object]:
    by_rule = {"authorization": denied} if denied else {}
    return {"taken": taken, "routed": taken - denied, "denied": denied, "denied_by_rule": by_rule}


def test_nothing_yet() -> None:
    receipts = Receipts()
    assert receipts["taken"] == 0
    assert receipts.denied_by_rule() == {}


def test_the_newest_of_one_connection_counts() -> None:
    receipts = Receipts()
    receipts.add(receipt(3, 1), 0)
    receipts.add(receipt(7, 2), 0)
    assert (receipts["taken"], receipts["routed"], receipts["denied"]) == (7, 5, 2)
    assert receipts.denied_by_rule() == {"authorization": 2}


def test_connections_add_up() -> None:
    receipts = Receipts()
    receipts.add(receipt(7, 2), 0)
    receipts.add(receipt(1), 1)
    receipts.add(receipt(5, 3), 1)
    receipts.add(receipt(4), 3)
    assert (receipts["taken"], receipts["denied"]) == (16, 5)
    assert receipts.denied_by_rule() == {"authorization": 5}


def test_a_late_receipt_of_an_earlier_connection_is_ignored() -> None:
    receipts = Receipts()
    receipts.add(receipt(7), 0)
    receipts.add(receipt(1), 1)
    receipts.add(receipt(9), 0)
    assert receipts["taken"] == 8
