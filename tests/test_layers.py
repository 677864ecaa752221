"""Imports only point downward: a room imports the rooms below it and none above (docs/concepts/map.md)."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "treestar"

LAYERS = [
    {"types", "statistics", "seeds", "concurrency", "machine"},
    {"extras"},
    {"config", "storage", "plotting", "problems"},
    {"workers"},
    {"search"},
    {"sandbox"},
    {"verifier", "retrieval"},
    {"policy"},
    {"ppm"},
    {"judge"},
    {"training"},
    {"components"},
    {"benchmarks"},
    {"allocation"},
    {"selfevolve"},
    {"reinforcement"},
    {"results_file"},
    {"solver"},
    {"serve"},
    {"treestar"},
    {"cli"},
    {"__main__"},
]
"""From the ground floor up, as in docs/concepts/map.md."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

KNOWS_ONLY = {
    "search": {"types", "concurrency", "config", "storage", "search"},
    "policy": {"types", "extras", "concurrency", "machine", "config", "verifier", "policy"},
    "sandbox": {"types", "machine", "config", "sandbox"},
    "verifier": {"types", "machine", "config", "sandbox", "verifier"},
    "workers": {"types", "extras", "concurrency", "config", "workers"},
}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return "treestar" if first == "__init__.py" else first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms whose modules `path` imports, at the top or inside functions."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            modules.add(node.module)
            if node.module == "treestar":
                modules |= {f"treestar.{alias.name}" for alias in node.names if alias.name in LEVEL}
    inside = [module.split(".") for module in modules if module.split(".")[0] == "treestar"]
    return {parts[1] if len(parts) > 1 else "treestar" for parts in inside}


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(path)
    assert room in LEVEL, f"{room} has no place in the layers: give it one here and in docs/concepts/map.md"
    for imported in imported_rooms(path) - {room}:
        assert LEVEL[imported] < LEVEL[room], f"{path.name} in {room} imports {imported}, which is not below it"
        assert imported in KNOWS_ONLY.get(room, {imported}), f"{room} must not know {imported}"


INSIDE: dict[str, dict[str, set[str]]] = {
    "verifier": {
        "notation": set(),
        "extraction": {"notation"},
        "programs": {"notation", "extraction"},
        "grading": {"notation", "extraction"},
    },
    "sandbox": {"language": set(), "worker": {"language"}, "jail": {"language", "worker"}},
}
"""Which folders of these rooms each of their folders imports."""


@pytest.mark.parametrize(("room", "folder"), [(room, folder) for room, folders in INSIDE.items() for folder in folders])
def test_inside_a_room_imports_point_downwards(room: str, folder: str) -> None:
    others = INSIDE[room].keys() - INSIDE[room][folder] - {folder}
    for path in (PACKAGE / room / folder).rglob("*.py"):
        found = set(re.findall(rf"(?:from|import) treestar\.{room}\.(\w+)", path.read_text(encoding="utf-8")))
        assert not found & others, f"{path.name} imports {found & others}"


def test_the_check_sees_an_upward_import(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("def f():\n    from treestar.search import mcts\n")
    assert imported_rooms(source) == {"search"}


NAMES_FORMS_AND_MODELS = ("policy/formats", "policy/models", "selfevolve/bound")
"""Modules that can name the bound format and the shipped models; recipes/ can too."""


def test_no_other_room_names_the_bound_format_or_a_shipped_model() -> None:
    named = re.compile(
        r"""[`'"]bound[`'"]|BoundFormat|formats\.(?:bound|binding)|bound (?:form|step)|[Ee]mbedded|[`'"]toy"""
    )
    for path in SOURCES:
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(NAMES_FORMS_AND_MODELS):
            found = named.findall(path.read_text(encoding="utf-8"))
            assert not found, f"{name} names {found}: ask the format (StepFormat) or take DEFAULT_POLICY"


@pytest.mark.parametrize("statement", ["import treestar", "import treestar.cli"])
def test_importing_loads_no_heavy_library(statement: str) -> None:
    heavy = {
        "torch",
        "transformers",
        "sympy",
        "numpy",
        "networkx",
        "math_verify",
        "vllm",
        "reasoning_gym",
        "fastapi",
        "ray",
    }
    code = f"import sys; {statement}; print(*({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_files_stay_short() -> None:
    for path in SOURCES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 400, f"{path.relative_to(PACKAGE)} has {lines} lines: split it by meaning"


def test_what_other_modules_import_is_in_all_and_no_name_is_hidden_by_an_underscore() -> None:
    """`__all__` lists what a module offers. Underscores would duplicate it, less exactly."""
    checkout = PACKAGE.parent
    sources = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    offered = {module_of(path): names_offered(tree) for path, tree in sources.items()}
    for folder in ("recipes", "bench", "examples"):
        for path in (checkout / folder).rglob("*.py"):
            sources[path] = ast.parse(path.read_text(encoding="utf-8"))
    for path, tree in sources.items():
        for name in names_defined(tree):
            assert not name.startswith("_") or name.startswith("__"), f"{path.name}: {name} begins with an underscore"
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in offered:
                names = {alias.name for alias in node.names if f"{node.module}.{alias.name}" not in offered}
                missing = names - offered[node.module]
                assert not missing, f"{path.name} imports {missing}, which {node.module} does not list in __all__"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def names_offered(tree: ast.Module) -> set[str]:
    """The module's `__all__`; empty if it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and "__all__" in {ast.unparse(target) for target in node.targets}:
            return set(ast.literal_eval(node.value))
    return set()


def names_defined(tree: ast.Module) -> set[str]:
    """The names that the module's own statements define."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found
