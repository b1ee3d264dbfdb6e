"""Builds the compiled core, every `ext/lexmesh/_*.pyx` the module `lexmesh._*`, and the descriptors of the .proto."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from grpc_tools import protoc
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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


class BuildAll(build_ext):
    """Builds the extensions, and beside them what reflection and clients read: the .proto compiled to descriptors.

    Descriptors rather than generated Python, which runs only with a protobuf at least as new as what made it.
    """

    def run(self) -> None:
        package = ROOT / "lexmesh" if self.inplace else Path(self.build_lib) / "lexmesh"
        package.mkdir(parents=True, exist_ok=True)
        arguments = [f"-I{ROOT / 'protos'}", f"--descriptor_set_out={package / 'internode.binpb'}"]
        if protoc.main(["protoc", *arguments, "lexmesh/v1/internode.proto"]):
            raise SystemExit("lexmesh: protos/lexmesh/v1/internode.proto does not compile")
        super().run()

    def get_outputs(self) -> list[str]:
        return [*super().get_outputs(), str(Path(self.build_lib) / "lexmesh" / "internode.binpb")]


setup(
    cmdclass={"build_ext": BuildAll},
    packages=[
        "lexmesh",
        "lexmesh.cli",
        "lexmesh.mesh",
        "lexmesh.mesh.registry",
        "lexmesh.mesh.state",
        "lexmesh.mesh.tasks",
        "lexmesh.nsr",
        "lexmesh.store",
        "lexmesh.testing",
        "lexmesh.transports",
        "lexmesh.transports.durable",
    ],
    ext_modules=compiled(),
)
