"""The jail's layers: each by itself, all together, and systems that lack one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.sandbox_support import children, eventually, linux, status_of, with_interpreter, zygote_pid

from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.executor import SandboxInterpreter

pytestmark = linux

TRY = """
import os, socket, sys
def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"
"""


def run_python(code: str, **options: object) -> str:
    """The output of a fresh interpreter; its errors fail the test."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run(
        [str(options.pop("executable", sys.executable)), "-c", TRY + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        **options,  # type: ignore[call-overload]
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return str(ran.stdout)


# --- one layer at a time ---------------------------------------------------------------------------------------------


def test_landlock_alone_forbids_files_that_the_user_may_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("4711")
    printed = run_python(f"""
        from treestar.sandbox.jail.landlock import forbid_files
        from treestar.sandbox.jail.privileges import forbid_new_privileges
        forbid_new_privileges()
        forbid_files()
        print(tried(lambda: open({str(tmp_path / "secret")!r})), tried(lambda: open({str(tmp_path / "new")!r}, "w")))
        print(tried(lambda: os.listdir("/")), tried(lambda: os.execv("/bin/true", ["true"])))
    """)
    assert printed.split() == ["PermissionError"] * 4
    assert not (tmp_path / "new").exists()


def test_seccomp_alone_refuses_what_is_not_listed() -> None:
    printed = run_python("""
        import ctypes, mmap
        from treestar.sandbox.jail.privileges import forbid_new_privileges
        from treestar.sandbox.jail.seccomp import allow_only_listed_calls
        forbid_new_privileges()
        allow_only_listed_calls(1)
        attempts = [
            lambda: os.open("/etc/hostname", os.O_RDONLY), lambda: os.fork(), lambda: socket.socket(),
            lambda: os.kill(os.getpid(), 0), lambda: os.write(2, b"x"), lambda: os.read(0, 1), lambda: os.dup(1),
            lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC), lambda: os.stat("/"), lambda: os.pipe(),
        ]
        results = [tried(attempt) for attempt in attempts]
        libc = ctypes.CDLL(None, use_errno=True)
        x32 = [libc.syscall(0x40000000 + number) for number in (0, 2, 57)]
        os.write(1, repr((results, x32)).encode())
    """)
    assert printed == repr((["PermissionError"] * 10, [-1] * 3))


def test_namespaces_alone_leave_no_network() -> None:
    with_network = """
        import threading
        listener = socket.create_server(("127.0.0.1", 0))
        print(tried(lambda: socket.create_connection(listener.getsockname())))
    """
    alone = f"""
        from treestar.sandbox.jail.privileges import leave_namespaces
        state = leave_namespaces()
        print(state)
        {textwrap.dedent(with_network).replace(chr(10), chr(10) + " " * 8)}
    """
    printed = run_python(alone).splitlines()
    if printed[0].startswith("off"):
        pytest.skip(f"namespaces: {printed[0]}")
    assert printed[1] != "done"
    assert run_python(with_network).split() == ["done"]


def test_limits_alone_bound_memory_and_files(tmp_path: Path) -> None:
    printed = run_python(f"""
        from treestar.sandbox.jail.privileges import cap_resources
        file = open({str(tmp_path / "file")!r}, "wb", buffering=0)
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        cap_resources(1 << 30, 4, 60)
        print(tried(lambda: file.write(b"x")), tried(lambda: os.dup(0)))
        try:
            bytearray(1 << 31)
        except MemoryError:
            print("MemoryError")
    """)
    assert printed.split() == ["OSError", "OSError", "MemoryError"]


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jail() -> object:
    made = SandboxExecutor(SandboxConfig(seconds=60.0, restricted=False))
    yield made
    asyncio.run(made.close())


def test_every_layer_is_reported(jail: SandboxExecutor) -> None:
    layers = asyncio.run(jail.layers())
    assert set(layers) == {"namespaces", "user", "no_new_privs", "landlock", "limits", "seccomp", "language"}
    assert layers["language"].startswith("off")
    assert not layers["landlock"].startswith("off")
    assert not layers["seccomp"].startswith("off")


def test_the_kernel_confirms_the_layers(jail: SandboxExecutor) -> None:
    async def use(interpreter: SandboxInterpreter) -> None:
        await interpreter.run("1", None)
        assert eventually(lambda: len(children(zygote_pid(jail))) == 1)  # those of other tests have ended
        [worker] = children(zygote_pid(jail))
        for process in (worker, zygote_pid(jail)):
            facts = status_of(process)
            assert (facts["NoNewPrivs"], facts["CapEff"], facts["CapPrm"]) == ("1", "0" * 16, "0" * 16)
            assert os.getuid() != 0 or facts["Uid"].split() == facts["Gid"].split() == ["65534"] * 4
            assert facts["Groups"] == "" or os.getuid() != 0
        assert status_of(worker)["Seccomp"] == "2"
        if not (await jail.layers())["namespaces"].startswith("off"):
            for kind in ("net", "ipc", "uts"):
                assert os.readlink(f"/proc/{worker}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")

    with_interpreter(jail, use)


def test_the_environment_of_the_engine_stays_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    executor = SandboxExecutor(SandboxConfig(restricted=False))

    async def use(interpreter: SandboxInterpreter) -> str:
        return (await interpreter.run("import os\nprint(dict(os.environ))", None)).output

    assert "sk-secret" not in with_interpreter(executor, use)
    asyncio.run(executor.close())


ORDINARY_USER = """
import asyncio
from treestar.sandbox import SandboxConfig, SandboxExecutor
async def main():
    executor = SandboxExecutor(SandboxConfig(restricted=False))
    print(sorted((await executor.layers()).items()))
    interpreter = await executor.open()
    for code in ("print(6 * 7)", "open('/etc/hostname')", "import os; os.fork()", "import socket; socket.socket()"):
        execution = await interpreter.run(code, None)
        print(execution.output.strip(), (execution.error or "").split(":")[0])
    await executor.close()
asyncio.run(main())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; the other tests ran as one")
def test_it_works_for_an_ordinary_user() -> None:
    def as_user(executable: str, code: str) -> str:
        return run_python(code, executable=executable, user=12345, group=12345, extra_groups=[], cwd="/")

    executables = [sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"]
    for executable in executables:
        try:
            as_user(executable, "import sympy, RestrictedPython, treestar")
        except (OSError, AssertionError):
            continue
        printed = as_user(executable, ORDINARY_USER).splitlines()
        assert "'landlock', 'version" in printed[0]
        assert printed[1:] == ["42 ", *[" PermissionError"] * 3]
        return
    pytest.skip("no Python that another user may run has the libraries")


# --- where something is missing --------------------------------------------------------------------------------------

WITHOUT = """
import asyncio, ctypes
from treestar.types import TreestarError
from treestar.sandbox import SandboxConfig, SandboxExecutor
from treestar.sandbox.jail import seccomp
from treestar.sandbox.jail.privileges import forbid_new_privileges

def take_away(call, first_argument, error):
    "Let the system call fail, as on a kernel without it, for this process and those it starts."
    forbid_new_privileges()
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    refuse, allow = seccomp.instruction(0x06, 0x00050000 | error), seccomp.instruction(0x06, 0x7FFF0000)
    steps = [seccomp.instruction(0x20, 0)]
    if first_argument is None:
        steps += [seccomp.instruction(0x15, call, otherwise=1), refuse, allow]
    else:
        steps += [seccomp.instruction(0x15, call, otherwise=3), seccomp.instruction(0x20, 16)]
        steps += [seccomp.instruction(0x15, first_argument, otherwise=1), refuse, allow]
    program = seccomp.Program(len(steps), b"".join(steps))
    seccomp.prctl(22, 2, ctypes.addressof(program))

async def main(isolation):
    executor = SandboxExecutor(SandboxConfig(isolation=isolation))
    try:
        print(await executor.layers())
        print((await (await executor.open()).run("print(6 * 7)", None)).output)
    except TreestarError as error:
        print("refused:", error)
    await executor.close()
"""


def without(call: str, isolation: str = "full") -> str:
    number, first_argument, error = {
        "landlock": (444, None, 38),
        "seccomp": ({"x86_64": 157, "aarch64": 167}[os.uname().machine], 22, 22),
        "unshare": ({"x86_64": 272, "aarch64": 97}[os.uname().machine], None, 1),
    }[call]
    return run_python(f"{WITHOUT}\ntake_away({number}, {first_argument}, {error})\nasyncio.run(main({isolation!r}))")


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
def test_without_landlock_or_seccomp_no_step_runs(layer: str) -> None:
    printed = without(layer)
    assert "refused: Steps cannot be jailed on this system" in printed
    assert "SandboxConfig(isolation='process')" in printed
    assert "42" not in printed


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
def test_without_them_isolation_by_process_can_be_chosen(layer: str) -> None:
    printed = without(layer, "process")
    assert "42" in printed
    assert "off: isolation='process' was chosen" in printed


def test_where_namespaces_are_forbidden_the_other_layers_stand() -> None:
    printed = without("unshare")
    assert "42" in printed
    assert "'namespaces': 'off: this system does not allow them" in printed


def test_isolation_by_process_says_what_it_does_not_do() -> None:
    with pytest.warns(RuntimeWarning, match="without landlock, seccomp and namespaces"):
        executor = SandboxExecutor(SandboxConfig(isolation="process"))
    layers = asyncio.run(executor.layers())
    assert [name for name, state in layers.items() if state.startswith("off")] == [
        "namespaces",
        "no_new_privs",
        "landlock",
        "seccomp",
    ]
    zygote = zygote_pid(executor)
    asyncio.run(executor.close())
    assert eventually(lambda: not os.path.exists(f"/proc/{zygote}"))


def test_nothing_at_all_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="choose one of the two"):
        SandboxConfig(isolation="process", restricted=False)
    with pytest.raises(ValueError, match="full or process"):
        SandboxConfig(isolation="none")  # type: ignore[arg-type]


def test_a_machine_without_a_list_of_system_calls_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from treestar.sandbox.jail import layers, seccomp

    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    with pytest.raises(layers.Unsupported, match="riscv64"):
        layers.require_support()
    monkeypatch.setattr(layers.sys, "platform", "darwin")
    with pytest.raises(layers.Unsupported, match="Linux only"):
        layers.require_support()
