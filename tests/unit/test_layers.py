"""The layers of the package hold.

That imports go downwards only is checked by `lint-imports`, in `scripts/lint`: it leaves the loggers of its
process disabled.
"""

import grimp
import pytest

PACKAGE = "chat_service"


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


@pytest.mark.parametrize(
    ("layer", "allowed"),
    [
        ("domain", ("domain",)),
        ("adapters", ("adapters", "domain", "migrations", "services.ports")),
    ],
)
def test_layer_imports_nothing_else_of_the_package(
    imports: grimp.ImportGraph, layer: str, allowed: tuple[str, ...]
) -> None:
    inside = {f"{PACKAGE}.{layer}", *imports.find_descendants(f"{PACKAGE}.{layer}")}
    imported = {found for module in inside for found in imports.find_modules_directly_imported_by(module)}
    allowed_names = tuple(f"{PACKAGE}.{name}" for name in allowed)
    foreign = {name for name in imported if not f"{name}.".startswith(tuple(f"{a}." for a in allowed_names))}
    assert not foreign
