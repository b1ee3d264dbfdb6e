"""Meshes of every shape through 200 seeds of faults; `LEXMESH_STORIES=2000` tells more."""

import os

import pytest
from simulated_story import play

STORIES = int(os.environ.get("LEXMESH_STORIES", "200"))
AT_ONCE = 10  # seeds of one test: its report is one line


@pytest.mark.parametrize("first", range(0, STORIES, AT_ONCE))
def test_a_mesh_comes_out_of_it_as_it_should(first: int) -> None:
    for seed in range(first, min(first + AT_ONCE, STORIES)):
        play(seed)
