"""What a program that is nothing but a server has loaded is no work for the garbage collector."""

import gc

from lexmesh.transports.loop import settle


def test_what_is_loaded_is_not_walked_over_again_and_what_comes_later_is_collected() -> None:
    before = gc.get_freeze_count()
    try:
        settle()
        assert gc.get_freeze_count() > before
        assert len(gc.get_objects()) < 1000, "nothing that was there is left to be looked at"
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
