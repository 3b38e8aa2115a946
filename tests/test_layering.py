"""Arrows run one way: this test reads the imports and says where one does not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGES = ("archq", "sweeper", "logsum")

# What the three programs share.  It builds on itself and the standard library only.
VOCABULARY = {
    "archq.checksum",
    "archq.completion",
    "archq.config",
    "archq.console",
    "archq.control",
    "archq.durable",
    "archq.errors",
    "archq.fields",
    "archq.instants",
    "archq.light",
    "archq.lpfamily.scanner",
    "archq.meter",
    "archq.names",
    "archq.nights",
    "archq.options",
    "archq.plaintoml",
    "archq.quantities",
    "archq.secretfiles",
    "archq.signature",
    "archq.transferlog",
    "archq.version",
    "archq.zones",
}
LAZY_ONLY = {"click", "paramiko", "tabulate", "dateutil", "astropy", "numpy", "matplotlib", "pyftpdlib"}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_bytes())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def existing(names: set[str]) -> set[str]:
    known = {name for package in PACKAGES for name, _path in modules(package)}
    return (names & known) - set(PACKAGES)


@pytest.mark.parametrize("package", ["sweeper", "logsum"])
def test_the_archive_side_and_the_reports_import_only_the_shared_vocabulary(package: str) -> None:
    own = {name for name, _path in modules(package)}
    for name, path in modules(package):
        assert existing(imports(path)) <= VOCABULARY | own, name


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("archq.spool", ()),
        ("archq.transports", ()),
        ("archq.shipping", ("archq.spool", "archq.transports", "archq.submission")),
    ],
)
def test_the_packages_of_the_instrument_side_build_on_each_other_one_way(package: str, others: tuple[str, ...]) -> None:
    allowed = (package, *others)
    for name, path in modules(package.replace(".", "/")):
        foreign = existing(imports(path)) - VOCABULARY
        assert all(f"{found}.".startswith(tuple(f"{one}." for one in allowed)) for found in foreign), (name, foreign)


def test_nothing_points_back_from_the_instrument_side() -> None:
    for name, path in modules("archq"):
        foreign = {found for found in imports(path) if found.split(".")[0] in {"sweeper", "logsum"}}
        assert not foreign, name


@pytest.mark.parametrize("module", sorted(VOCABULARY))
def test_the_vocabulary_builds_on_itself_and_the_standard_library(module: str) -> None:
    path = ROOT / f"{module.replace('.', '/')}.py"
    assert existing(imports(path)) <= VOCABULARY
    assert not {name.split(".")[0] for name in imports(path, top_level_only=True)} & LAZY_ONLY


def test_only_durable_calls_fsync_rename_and_link() -> None:
    calls = {"fsync", "fdatasync", "rename", "renames", "replace", "link", "hardlink_to", "syncfs"}
    for package in PACKAGES:
        for name, path in modules(package):
            used = {
                node.attr
                for node in ast.walk(ast.parse(path.read_bytes()))
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
            }
            assert name == "archq.durable" or not used & calls, name
