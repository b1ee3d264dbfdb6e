"""Builds the compiled core: every `ext/lexmesh/_*.pyx` becomes the module `lexmesh._*`."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

ROOT = Path(__file__).parent
SANITIZE = os.environ.get("LEXMESH_SANITIZE") == "1"
WERROR = os.environ.get("LEXMESH_WERROR") == "1"
ANNOTATE = os.environ.get("LEXMESH_ANNOTATE") == "1"

SANITIZERS = ["-fsanitize=address,undefined"]
RELEASE_FLAGS = ["-O3", "-g1", "-fno-semantic-interposition", "-Wall", "-Wno-unused-function"]
WERROR_FLAGS = ["-O1", "-Wall", "-Werror", "-Wno-unused-function", "-Wno-sign-compare"]
SANITIZE_FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", *SANITIZERS, "-fno-sanitize-recover=undefined"]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "embedsignature": False,
    "freethreading_compatible": False,
}


def compile_flags() -> tuple[list[str], list[str]]:
    """Compiler and linker flags: release, checked when LEXMESH_WERROR=1, or instrumented when LEXMESH_SANITIZE=1."""
    if sys.platform == "win32":
        return ["/O2"], []
    if WERROR:
        return WERROR_FLAGS, []
    if SANITIZE:
        return SANITIZE_FLAGS, SANITIZERS
    return RELEASE_FLAGS, []


def extensions() -> list[Extension]:
    """One extension per source; the headers they include are listed so that a change rebuilds them."""
    compile_args, link_args = compile_flags()
    headers = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "ext/lexmesh").glob("*.h"))
    return [
        Extension(
            f"lexmesh.{source.stem}",
            [str(source.relative_to(ROOT))],
            include_dirs=["ext/lexmesh"],
            depends=headers,
            extra_compile_args=compile_args,
            extra_link_args=link_args,
        )
        for source in sorted((ROOT / "ext/lexmesh").glob("_*.pyx"))
    ]


def compiled() -> list[Extension]:
    """The extensions translated to C; with LEXMESH_WERROR=1 all of them afresh, Cython's own warnings as errors."""
    Options.warning_errors = WERROR
    return cythonize(
        extensions(),
        include_path=["ext"],
        build_dir="build/werror/cython" if WERROR else "build/cython",
        force=WERROR or None,
        annotate=ANNOTATE,
        compiler_directives=DIRECTIVES,
        nthreads=0 if sys.platform == "win32" else os.cpu_count() or 1,
    )


setup(
    packages=[
        "lexmesh",
        "lexmesh.cli",
        "lexmesh.mesh",
        "lexmesh.mesh.registry",
        "lexmesh.mesh.state",
        "lexmesh.nsr",
        "lexmesh.store",
        "lexmesh.testing",
        "lexmesh.transports",
    ],
    ext_modules=compiled(),
)
