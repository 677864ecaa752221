"""From a model's folder, hub id, GGUF file or adapter to its configuration and weights.

Nothing else knows the difference. Loading raises whatever transformers, the hub client, safetensors and torch raise;
callers stand inside `loading`.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from treestar.policy.models.adapter import base_of, is_adapter, merged
from treestar.policy.models.fetchable import cache_folder
from treestar.policy.models.gguf_file import is_gguf
from treestar.policy.models.loading import ADAPTER_WEIGHTS
from treestar.policy.models.tokenizer import load_tokenizer
from treestar.types import TreestarError

__all__ = [
    "folder_for_other_libraries",
    "load_causal_model",
    "load_config",
    "load_generation_config",
    "load_weights",
    "save_converted",
]


def load_config(path: str) -> Any:
    """The transformers configuration; an adapter without one has its base's."""
    from transformers import AutoConfig

    if is_adapter(path) and not (Path(path) / "config.json").is_file():
        return load_config(base_of(path))
    if is_gguf(path):
        return AutoConfig.from_pretrained(Path(path).parent, gguf_file=Path(path).name)
    return AutoConfig.from_pretrained(path)


def load_generation_config(path: str) -> Any:
    """The sampling defaults of the model's generation_config.json, for an adapter its base's; None if there is none."""
    from transformers import GenerationConfig

    if is_adapter(path):
        return load_generation_config(base_of(path))
    try:
        return GenerationConfig.from_pretrained(str(Path(path).parent) if is_gguf(path) else path)
    except OSError:
        return None


def load_causal_model(path: str, **kwargs: Any) -> Any:
    """The causal language model, on the CPU; see `load_weights`.

    Raises:
        TreestarError: its files lack weights, which transformers would make up.
    """
    from transformers import AutoModelForCausalLM

    model, missing = load_weights(AutoModelForCausalLM, path, **kwargs)
    if missing:
        raise TreestarError(
            f"{path!r} is not a whole language model: its files lack {', '.join(sorted(missing)[:3])}, which would "
            "be random (reward models and embedding models have no output layer)"
        )
    return model


def load_weights(kind: Any, path: str, **kwargs: Any) -> tuple[Any, set[str]]:
    """The model, on the CPU, and the names of weights that its files lack. The weights of a GGUF file are unpacked, an
    adapter is merged into its base.

    Args:
        kind: one of transformers' classes `AutoModelFor...`.
        path: a folder, also of an adapter, hub id or GGUF file.
        kwargs: for `from_pretrained`, such as `dtype`.

    Raises:
        TreestarError: the base of an adapter is missing.
    """
    if is_adapter(path):
        config = kwargs.pop("config", None) or load_config(path)
        config.num_labels = kwargs.pop("num_labels", config.num_labels)
        model, missing = load_weights(kind, base_of(path), config=config, **kwargs)
        return merged(model, path), missing - set(trained_weights(path))
    more: dict[str, Any] = {}
    folder = path
    if is_gguf(path):
        from transformers import GgufConfig

        # Without `dequantize` transformers keeps packed weights, which can be neither trained nor saved.
        folder = str(Path(path).parent)
        more = {"gguf_file": Path(path).name, "quantization_config": GgufConfig(dequantize=True)}
    model, info = kind.from_pretrained(folder, output_loading_info=True, **{**more, **kwargs})
    return model, set(info["missing_keys"])


def trained_weights(path: str) -> list[str]:
    """The weights that the adapter at `path` holds whole, such as a head, by their names in the model."""
    from safetensors import safe_open

    with safe_open(Path(path) / ADAPTER_WEIGHTS, framework="pt") as file:
        return [name.removeprefix("base_model.model.") for name in file.keys() if ".lora_" not in name]  # noqa: SIM118


def folder_for_other_libraries(path: str, dtype: str) -> str:
    """`path`, but for a GGUF file or an adapter a folder in the user's cache with the whole model in safetensors; made
    once.

    Args:
        dtype: of the weights written; a GGUF file's own are in float32 once they are unpacked.
    """
    if not is_gguf(path) and not is_adapter(path):
        return path
    file = (Path(path) / ADAPTER_WEIGHTS if is_adapter(path) else Path(path)).resolve()
    state = file.stat()
    key = blake2b(repr((str(file), state.st_size, state.st_mtime_ns, dtype)).encode(), digest_size=8).hexdigest()
    folder = cache_folder() / "converted" / f"{file.stem}-{key}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=".", dir=folder.parent))
        try:
            save_converted(path, made, dtype, computed_in=dtype)
            made.rename(folder)
        except OSError:
            if not folder.exists():  # another process was faster
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return str(folder)


def save_converted(path: str, folder: Path, dtype: str, computed_in: str, **entries: str) -> None:
    """Write the model in a GGUF file, or an adapter with its base, as an ordinary Hugging Face folder.

    Args:
        dtype: of the weights.
        computed_in: the dtype that config.json names, which `dtype="auto"` takes.
        entries: additional entries of config.json.
    """
    from transformers import GenerationConfig

    model = load_causal_model(path, dtype=dtype)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the weights are plain now
    ends = {name: getattr(model.config, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ends)
    model.save_pretrained(folder)
    load_tokenizer(path).save_pretrained(folder)
    file = folder / "config.json"
    config = {**json.loads(file.read_text(encoding="utf-8")), "dtype": computed_in, **entries}
    config.pop("_model_name_or_path", None)
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + os.linesep, encoding="utf-8")
