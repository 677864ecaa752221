"""vLLM inside this process: one asynchronous engine, on an event loop in its own thread.

That way a policy serves any event loop, and the engine's front end keeps running while a search computes. vLLM computes
in separate processes, which end with this one.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar, get_args
from urllib.parse import parse_qsl

from treestar.concurrency import gather_all
from treestar.extras import needs_extra
from treestar.policy.backends.vllm_worker import WeightReader
from treestar.policy.models import Dtype, folder_for_other_libraries, repaired_tokenizer
from treestar.types import TreestarError, first_line

__all__ = ["VLLM_PREFIX", "VLLMEngine", "parse_vllm_name"]

VLLM_PREFIX = "vllm:"

QUEUED = 2
"""The engine is given this many times the requests that it computes at a time. The rest wait here, where they cost no
memory and a search that ends can take them back."""

SHUTDOWN_SECONDS = 5.0

WATCHER = """
import os, signal, sys
sys.stdin.read()
for process in map(int, sys.argv[1:]):
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        pass
"""
"""Waits until this process is gone, for whatever reason, and ends the engine's. Those of a killed process would keep
running and hold their memory, so that the same command could not start again."""

ResultT = TypeVar("ResultT")


def parse_vllm_name(name: str) -> tuple[str, dict[str, Any]]:
    """The model and the engine arguments in `vllm:MODEL?argument=value&argument=value`.

    A value that is valid JSON is read as such (`2`, `0.8`, `true`, `{"a": 1}`), any other as text.

    Raises:
        TreestarError: the name contains no model, or what follows the `?` is not `argument=value`.
    """
    model, _, query = name.removeprefix(VLLM_PREFIX).partition("?")
    if not model:
        raise TreestarError(f"{name!r} names no model: write vllm:MODEL or vllm:MODEL?argument=value&argument=value")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise TreestarError(
            f"{name!r}: what follows the ? is not argument=value&argument=value, such as tensor_parallel_size=2"
        ) from error
    return model, {argument.replace("-", "_"): json_or_text(value) for argument, value in pairs}


def json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


class VLLMEngine:
    """A started engine.

    Args:
        kind: "policy" or "PPM", for errors.
        name: the model as the user named it, for errors.
        model: a folder, a hub id or a GGUF file, of which vLLM gets an unpacked copy in the user's cache.
        max_batch: maximum number of sequences computed at a time, unless `arguments` override it.
        arguments: fields of vLLM's `AsyncEngineArgs`.

    Raises:
        TreestarError: vLLM is not installed, does not know an argument, or cannot start with the model.
    """

    def __init__(self, kind: str, name: str, model: str, max_batch: int, arguments: Mapping[str, Any]) -> None:
        # Otherwise its log would appear in the middle of the user's results.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        try:
            from vllm import AsyncEngineArgs
            from vllm.platforms import current_platform
        except ImportError as error:
            raise needs_extra(f"{kind} {name!r} (on a CPU, see docs/guides/backends.md)", "vllm") from error
        self.kind = kind
        self.name = name
        self.request_ids = map(str, count())
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="treestar-vllm", daemon=True)
        self.thread.start()
        try:
            model = folder_for_other_libraries(model, weights_dtype(arguments))
            self.tokenizer_folder = None if "tokenizer" in arguments else exact_tokenizer_folder(model)
            settings = {
                "max_num_seqs": max_batch,
                "enable_prefix_caching": True,
                "disable_log_stats": True,
                # On a CPU vLLM 0.32 dies of a seeded request whose prompt it reads in two parts.
                **({"enable_chunked_prefill": False} if current_platform.is_cpu() else {}),
                "use_tqdm_on_load": False,
                "worker_extension_cls": f"{WeightReader.__module__}.{WeightReader.__qualname__}",
                **({"tokenizer": self.tokenizer_folder.name} if self.tokenizer_folder is not None else {}),
                **arguments,
            }
            before = child_processes()
            self.engine = self.submit(start(AsyncEngineArgs(model=model, **settings))).result()
            self.watcher = start_watcher(child_processes() - before)
        except Exception as error:  # vLLM, torch and the hub client raise anything
            self.stop_loop()
            raise TreestarError(f"vLLM cannot start with the {kind} {name!r}: {first_line(error)}") from error
        self.places = asyncio.Semaphore(QUEUED * settings["max_num_seqs"])
        atexit.register(self.close)

    @property
    def context(self) -> int:
        """Maximum tokens of prompt and continuation together."""
        return int(self.engine.model_config.max_model_len)

    @property
    def tokenizer(self) -> Any:
        """The model's transformers tokenizer."""
        return self.engine.get_tokenizer()

    @property
    def config(self) -> Any:
        """The model's transformers configuration."""
        return self.engine.model_config.hf_config

    async def gather(self, outputs: Sequence[Callable[[Any, str], Any]]) -> list[Any]:
        """The last item of each of `outputs`: functions from the engine and a request's id to an asynchronous
        iterator. Called from any event loop.

        Raises:
            TreestarError: the engine has died or refuses a request.
        """
        try:
            return await asyncio.wrap_future(self.submit(gather_all(map(self.last_of, outputs))))
        except Exception as error:
            raise TreestarError(f"vLLM failed with the {self.kind} {self.name!r}: {first_line(error)}") from error

    async def last_of(self, outputs: Callable[[Any, str], Any]) -> Any:
        async with self.places:
            last = None
            async for output in outputs(self.engine, next(self.request_ids)):
                last = output
            return last

    def reload(self) -> None:
        """Read the weights in the model's folder again, and drop everything that was computed with the former ones.
        Nothing may be in progress.

        Raises:
            TreestarError: the engine has died, or cannot read the folder.
        """
        try:
            self.submit(reloaded(self.engine)).result()
        except Exception as error:
            raise TreestarError(
                f"vLLM cannot load the new weights of the {self.kind} {self.name!r}: {first_line(error)}"
            ) from error

    def submit(self, work: Coroutine[Any, Any, ResultT]) -> Any:
        """The future of `work`, which runs on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """End the engine's processes and thread; requests that still wait for it fail."""
        if self.loop.is_closed():
            return
        atexit.unregister(self.close)
        self.submit(self.shut_down()).result()
        self.watcher.kill()
        self.watcher.communicate()
        self.stop_loop()
        if self.tokenizer_folder is not None:
            self.tokenizer_folder.cleanup()

    async def shut_down(self) -> None:
        self.engine.shutdown()
        del self.engine
        # The engine has canceled its task; a loop may stop only once its tasks have noticed.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=SHUTDOWN_SECONDS) if others else None

    def stop_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def weights_dtype(arguments: Mapping[str, Any]) -> str:
    """The dtype in which a GGUF file is unpacked for the engine: the one in which it computes."""
    wanted = str(arguments.get("dtype"))
    return wanted if wanted in get_args(Dtype) else "bfloat16"


def exact_tokenizer_folder(model: str) -> tempfile.TemporaryDirectory[str] | None:
    """A folder with the model's tokenizer where vLLM, which uses `AutoTokenizer`, would load another one; else None."""
    tokenizer = repaired_tokenizer(model)
    if tokenizer is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="treestar-tokenizer-")
    tokenizer.save_pretrained(folder.name)
    return folder


async def start(engine_arguments: Any) -> Any:
    """The engine; it belongs to the event loop on which it is made."""
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(engine_arguments)


async def reloaded(engine: Any) -> None:
    await engine.collective_rpc(WeightReader.read_weights_again.__name__)
    # Requests of a search that ended early may still be running, and without this nothing would be reset.
    await engine.reset_prefix_cache(reset_running_requests=True)


def child_processes() -> set[int]:
    """The ids of the processes that this one has started and that are still running."""
    import psutil

    return {child.pid for child in psutil.Process().children()}


def start_watcher(processes: set[int]) -> subprocess.Popen[bytes]:
    """A process that ends `processes` when this one is gone; in its own session, so that Ctrl-C does not reach it."""
    return subprocess.Popen(
        [sys.executable, "-c", WATCHER, *map(str, sorted(processes))], stdin=subprocess.PIPE, start_new_session=True
    )
