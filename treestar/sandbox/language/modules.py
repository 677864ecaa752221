"""The modules that a step may import, and their permitted names.

A step never gets a real module. It gets a facade: a module object that contains only the permitted names, so that
attribute reads cannot lead from `statistics` to `sys`. Functions that read or write files, evaluate strings unchecked,
access raw memory or look up attributes by a string are left out. Needed functions that evaluate strings (`sympify`,
`parse_expr`, `lambdify`, `nsolve`) are hardened in `hardening.py`.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import importlib
import operator
import pkgutil
import random
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

from treestar.sandbox.language.classes import Array
from treestar.sandbox.language.compiler import OWN_MODULE, NotAllowed, is_reserved, words

__all__ = [
    "Facade",
    "SeededRandom",
    "add_to_library",
    "belongs_to_library",
    "handed_out",
    "import_module",
    "import_star",
    "is_facade",
    "missing_attribute",
    "prepare_modules",
]

ROOTS = words(
    "abc bisect calendar cmath collections contextlib copy dataclasses datetime decimal enum fractions functools "
    "hashlib heapq itertools math numbers numpy operator pprint queue random re statistics string sympy sys typing"
)
"""The modules a step may import, besides their permitted submodules."""

WHY_NOT = {
    "mpmath": "it keeps its precision for all steps; use 'sympy.N(value, 50)' or 'decimal'",
    "time": "a step may not read the clock, because its result may not depend on when it runs; leave it out",
    "timeit": "a step may not read the clock, because its result may not depend on when it runs; leave it out",
}

NAMES = {
    "abc": "ABC abstractmethod",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "calendar": "isleap leapdays monthrange weekday monthcalendar month_name month_abbr day_name day_abbr "
    "timegm Calendar MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY",
    "contextlib": "contextmanager nullcontext suppress",
    "copy": "copy deepcopy",
    "dataclasses": "KW_ONLY InitVar asdict astuple dataclass field fields is_dataclass replace",
    "enum": "Enum Flag IntEnum IntFlag StrEnum auto unique",
    "functools": "reduce lru_cache cache cached_property partial cmp_to_key total_ordering wraps",
    "hashlib": "blake2b blake2s md5 sha1 sha224 sha256 sha384 sha3_224 sha3_256 sha3_384 sha3_512 sha512",
    "pprint": "pformat pp pprint",
    "queue": "Empty Full LifoQueue PriorityQueue Queue",
    "random": "random randint randrange choice choices sample shuffle uniform triangular gauss normalvariate "
    "expovariate betavariate gammavariate lognormvariate paretovariate weibullvariate vonmisesvariate "
    "seed getrandbits Random",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits punctuation printable "
    "whitespace capwords",
    "sys": "float_info get_int_max_str_digits getrecursionlimit maxsize set_int_max_str_digits setrecursionlimit "
    "version_info",
    "typing": "AbstractSet Annotated Any Callable ClassVar Collection Container Counter DefaultDict Deque Dict Final "
    "FrozenSet Generator Generic Hashable Iterable Iterator List Literal Mapping MutableMapping MutableSequence "
    "NamedTuple NoReturn Optional OrderedDict Self Sequence Set Sized Tuple Type TypeAlias TypedDict TypeVar Union "
    "cast",
}
"""Modules of which only these names are permitted. Other modules: `__all__`, or else their own public names."""

DENIED = {
    "collections": "UserString",
    "decimal": "BasicContext DefaultContext ExtendedContext",
    "operator": "attrgetter methodcaller",
    "re": "Scanner template",
    "numpy": "DataSource bmat from_dlpack fromfile fromregex genfromtxt get_include info load loadtxt memmap "
    "save savetxt savez savez_compressed seterrcall show_config show_runtime source lookfor test set_numeric_ops "
    "add_docstring add_newdoc add_newdoc_ufunc ctypeslib f2py recfromcsv recfromtxt require_file testing "
    "chararray get_bit_generator recarray set_bit_generator set_default_printstyle setbufsize",
    "sympy": "CodeGen autowrap codegen doctest get_class get_mod_func init_session pager_print "
    "pkgdata plot plot_backends plot_implicit plot_parametric plot3d plot3d_parametric_line "
    "plot3d_parametric_surface preview print_gtk register_handler source test textplot timed ufuncify "
    "import_module exec_ lambdastr implemented_function vfield vring "
    "pprint_try_use_unicode pprint_use_unicode pretty_try_use_unicode pretty_use_unicode remove_handler seterr "
    "cacheit deprecated memoize_property public threaded xthreaded",
}
"""Names left out of a module and all its submodules: they lead out of the sandbox or change global state, or
are modules that numpy would import only to be asked what they are."""

SYMPY_PACKAGES = words(
    "abc algebras assumptions calculus combinatorics concrete core discrete functions geometry integrals logic "
    "matrices ntheory polys series sets simplify solvers stats tensor vector utilities.iterables utilities.lambdify "
    "parsing.sympy_parser physics.units printing.latex printing.pretty"
)
NUMPY_PACKAGES = words("fft linalg polynomial random")
SUBMODULES = (
    "collections.abc",
    *(f"sympy.{name}" for name in SYMPY_PACKAGES),
    *(f"numpy.{name}" for name in NUMPY_PACKAGES),
)
PARENTS = frozenset(name.rpartition(".")[0] for name in SUBMODULES)
EXCLUDED = words(
    "sympy.core.backend sympy.core.cache sympy.core.core sympy.core.decorators sympy.core.facts "
    "sympy.core.multidimensional sympy.polys.polyconfig sympy.polys.ring_series numpy.random.mtrand"
)
"""Submodules of permitted packages that import, call or configure things based on strings."""
HELPERS = (
    *words("_strptime unicodedata numpy._core._methods numpy._core._internal encodings.idna"),
    *words("_pylong" if sys.version_info >= (3, 12) else ""),  # it converts and divides integers of thousands of digits
)
"""Modules that the interpreter or numpy import lazily."""
UNWANTED = re.compile(
    r"\.(tests|benchmarks|testing|backend|compatibility|trace|(hyperexpand|meijerint)_doc|\w+_wrapper|(sample|gen)_\w+)$"
)
"""Submodules that are not loaded. The two `_doc` modules only write their docstrings, one of them for a second."""
PLAIN_TYPES = (int, float, complex, str, bool, type(None), tuple)
DEEPEST_RECURSION = 120_000
MUTABLE = ("list", "dict", "set", "bytearray", "ndarray", "MutableDenseMatrix")
"""Types of module constants that are left out: steps of other branches would see changes to them."""

handed_out: set[str] = set()
"""Names of the modules that steps received since this was last cleared. Code that has a module can change its internal
state, such as its random number generator (`worker/library_state.py`)."""

facades: dict[str, ModuleType] = {}
stars: dict[str, dict[str, Any]] = {}
library: dict[int, object] = {}
"""Library objects by id. Kept alive, because the address of a deleted object can be reused."""


class Facade(ModuleType):
    """A module object that holds permitted names only."""


def is_facade(module: ModuleType) -> bool:
    """Whether a step may hold this module object."""
    return isinstance(module, Facade)


def belongs_to_library(value: object) -> bool:
    """Whether `value` is an object that modules or builtins give to every step. Steps must not change it."""
    return id(value) in library


def add_to_library(values: Iterable[object]) -> None:
    """Make `belongs_to_library` true for `values`, which then live as long as this process."""
    library.update((id(value), value) for value in values)


def prepare_modules() -> None:
    """Import every permitted module and build its facade. Call once, in the process that steps are forked from."""
    for name in ROOTS:
        importlib.import_module(name)
    for name in SUBMODULES:
        import_whole(name)
    for name in HELPERS:
        importlib.import_module(name)
    for name in ROOTS:
        import_star(name)


def import_whole(name: str) -> None:
    """Import `name` with its submodules: sympy imports lazily, but in a step nothing new can be imported."""
    package = importlib.import_module(name)
    for found in pkgutil.iter_modules(getattr(package, "__path__", ()), name + "."):
        if not UNWANTED.search(found.name):
            with suppress(ImportError):  # optional libraries that are not installed
                import_whole(found.name)


def import_module(name: str) -> ModuleType:
    """The facade of the module `name`.

    Raises:
        ImportError: steps may not import the module, or it does not exist.
    """
    if not permitted(name):
        root = name.partition(".")[0]
        what = name if root in ROOTS else root
        reason = f": {WHY_NOT[root]}" if root in WHY_NOT else f"; these can: {', '.join(ROOTS)}"
        raise ImportError(f"'{what}' cannot be imported in a step{reason}")
    if name not in sys.modules:
        raise ImportError(f"No module named '{name}'")
    facade = facade_of(name)
    parent, _, child = name.rpartition(".")
    if parent and not hasattr(import_module(parent), child):
        setattr(facade_of(parent), child, facade)
    handed_out.add(name)
    return facade


def import_star(name: str) -> dict[str, Any]:
    """The names that `from name import *` defines, with their values. Raises like `import_module`."""
    module = import_module(name)
    if name not in stars:
        real = sys.modules[name]
        exported = frozenset(getattr(real, "__all__", [key for key in dir(real) if not key.startswith("_")]))
        stars[name] = {key: value for key, value in vars(module).items() if key in exported}
    handed_out.update(value.__name__ for value in stars[name].values() if isinstance(value, ModuleType))
    return stars[name]


def missing_attribute(module: ModuleType, attribute: str) -> Exception:
    """The error for a name that a facade does not have: NotAllowed if the real module has it, else AttributeError."""
    real = sys.modules.get(module.__name__)
    if real is not None and hasattr(real, attribute):
        return NotAllowed(f"'{module.__name__}.{attribute}' may not be used in a step")
    return AttributeError(f"module '{module.__name__}' has no attribute '{attribute}'")


@functools.lru_cache(maxsize=4096)
def permitted(name: str) -> bool:
    if name in ROOTS:
        return True
    if name in EXCLUDED or any(part.startswith("_") for part in name.split(".")):
        return False
    return name in PARENTS or any(name == package or name.startswith(package + ".") for package in SUBMODULES)


def facade_of(name: str) -> ModuleType:
    facade = facades.get(name)
    if facade is None:
        real = sys.modules[name]
        facade = facades[name] = Facade(name)
        for key in permitted_names(name, real):
            setattr(facade, key, REPLACED.get((name, key), getattr(real, key)))
        for key in children(name):
            if not hasattr(facade, key) and isinstance(getattr(real, key, None), ModuleType):
                setattr(facade, key, facade_of(f"{name}.{key}"))
        add_to_library([facade, *vars(facade).values()])
    return facade


def children(name: str) -> Iterable[str]:
    prefix = name + "."
    loaded = [other[len(prefix) :] for other in sys.modules if other.startswith(prefix)]
    return [child for child in loaded if "." not in child and permitted(prefix + child)]


def permitted_names(name: str, real: ModuleType) -> list[str]:
    denied = DENIED.get(name.partition(".")[0], "").split()
    if name in NAMES:
        return [key for key in NAMES[name].split() if hasattr(real, key)]
    candidates = list(dict.fromkeys([*getattr(real, "__all__", ()), *dir(real)]))
    return [key for key in candidates if not key.startswith("_") and key not in denied and belongs(name, real, key)]


def belongs(name: str, real: ModuleType, key: str) -> bool:
    """Whether the module may provide `key`: it exports it or the same library defines it; no modules or metaclasses."""
    try:
        value = getattr(real, key)
    except AttributeError:
        return False
    if isinstance(value, ModuleType) or type(value).__name__ in MUTABLE:
        return False
    if isinstance(value, type) and issubclass(value, type):  # calling it creates unchecked classes
        return False
    if key in getattr(real, "__all__", ()):
        return True
    if isinstance(value, PLAIN_TYPES) or getattr(value, "__module__", None) == "itertools":
        return True
    root = name.partition(".")[0]
    origin = getattr(value, "__module__", None) or getattr(type(value), "__module__", None)
    if not isinstance(origin, str):
        return False
    origin = origin.removeprefix("_")  # the C half of decimal is _decimal
    of_library = origin == root or origin.startswith(root + ".")
    return of_library and (not origin.startswith("sympy.") or permitted(origin))


# --- replacements: the same function without its unsafe or unrepeatable part -----------------------------------------


def own(value: Any, kind: type, decorator: str) -> Any:
    """`value`, if it is a function or class of a step. Decorators that set attributes would change a library's."""
    if not isinstance(value, kind) or value.__module__ != OWN_MODULE:
        what = "classes" if kind is type else "functions"
        raise NotAllowed(f"'{decorator}' may decorate the step's own {what} only")
    return value


def wraps(wrapped: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`functools.wraps` for the step's own functions, without the arguments that name the attributes to copy."""
    return lambda function: functools.wraps(wrapped)(own(function, FunctionType, "wraps"))


def dataclass(cls: Any = None, /, **options: Any) -> Any:
    """`dataclasses.dataclass` for the step's own classes."""

    def decorate(kind: Any) -> Any:
        return dataclasses.dataclass(**options)(own(kind, type, "dataclass"))

    return decorate if cls is None else decorate(cls)


def total_ordering(cls: Any) -> Any:
    """`functools.total_ordering` for the step's own classes."""
    return functools.total_ordering(own(cls, type, "total_ordering"))


def abstractmethod(function: Any) -> Any:
    """`abc.abstractmethod` for the step's own functions."""
    return abc.abstractmethod(own(function, FunctionType, "abstractmethod"))


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """`numpy.frombuffer`, except of the memory in which an array keeps the addresses of its objects."""
    import numpy

    plain = isinstance(buffer, (bytes, bytearray))
    if not plain and not (isinstance(buffer, (numpy.ndarray, numpy.generic)) and not buffer.dtype.hasobject):
        raise NotAllowed("'numpy.frombuffer' may read bytes and arrays of numbers only")
    return numpy.frombuffer(buffer, dtype, count, offset)


class SeededRandom(random.Random):
    """`random.Random`, seeded with 0 if no seed is given: a repeated step must give the same result."""

    def __init__(self, x: Any = 0) -> None:
        super().__init__(0 if x is None else x)


def seed_of(a: Any = 0, version: int = 2) -> None:
    random.seed(0 if a is None else a, version)


def default_rng(seed: Any = 0) -> Any:
    import numpy

    return numpy.random.default_rng(0 if seed is None else seed)


def set_recursion_limit(limit: int) -> None:
    """`sys.setrecursionlimit`, which only raises the limit, up to a depth that code without an end soon reaches."""
    sys.setrecursionlimit(max(min(operator.index(limit), DEEPEST_RECURSION), sys.getrecursionlimit()))


def set_int_max_str_digits(maxdigits: int) -> None:
    """`sys.set_int_max_str_digits` without effect: there is no limit (`warm_up.py`)."""
    operator.index(maxdigits)


def var(names: Any, **assumptions: Any) -> Any:
    """`sympy.var`, which defines symbols as variables of the step; refuses names that would replace a guard."""
    from sympy import Basic, symbols
    from sympy.core.function import FunctionClass

    made = symbols(names, **assumptions)
    variables: dict[str, Any] = {}
    nodes = [made]
    for node in nodes:  # which grows during the loop
        if isinstance(node, (list, tuple, set)):
            nodes += node
        elif isinstance(node, (Basic, FunctionClass)):
            variables[node.__name__ if isinstance(node, FunctionClass) else node.name] = node
    scope = sys._getframe(1).f_globals
    for name in variables:
        if type(name) is not str or is_reserved(name) or scope.get("__name__") != OWN_MODULE:
            raise NotAllowed(f"'var' may not make a variable '{name}' here")
    scope.update(variables)
    return made


REPLACED: dict[tuple[str, str], Any] = {
    ("abc", "abstractmethod"): abstractmethod,
    ("dataclasses", "dataclass"): dataclass,
    ("functools", "total_ordering"): total_ordering,
    ("functools", "wraps"): wraps,
    ("random", "Random"): SeededRandom,
    ("random", "seed"): seed_of,
    ("numpy", "frombuffer"): frombuffer,
    ("numpy", "ndarray"): Array,
    ("numpy.random", "default_rng"): default_rng,
    ("sympy", "init_printing"): lambda *_, **__: None,
    ("sympy", "var"): var,
    ("sympy.core", "var"): var,
    ("sympy.core.symbol", "var"): var,
    ("sys", "set_int_max_str_digits"): set_int_max_str_digits,
    ("sys", "setrecursionlimit"): set_recursion_limit,
}
