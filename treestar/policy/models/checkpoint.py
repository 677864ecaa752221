"""From a model's folder, hub id or GGUF file to its configuration and weights: the one place that knows the difference.

Loading raises whatever transformers, the hub client, safetensors and torch raise; callers stand inside `loading`.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import blake2b
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from treestar.policy.models.cache import cache_folder
from treestar.policy.models.gguf_file import check_gguf_packages, is_gguf
from treestar.policy.models.tokenizer import load_tokenizer

__all__ = [
    "folder_for_other_libraries",
    "load_causal_model",
    "load_config",
    "load_generation_config",
    "pretrained_arguments",
    "save_converted",
]


def load_config(path: str) -> Any:
    """The transformers configuration."""
    from transformers import AutoConfig

    folder, more = pretrained_arguments(path)
    more.pop("quantization_config", None)
    return AutoConfig.from_pretrained(folder, **more)


def load_generation_config(path: str) -> Any:
    """The sampling defaults of the model's generation_config.json; None if there is none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(str(Path(path).parent) if is_gguf(path) else path)
    except OSError:
        return None


def load_causal_model(path: str, **kwargs: Any) -> Any:
    """The causal language model, on the CPU; the weights of a GGUF file are unpacked.

    Args:
        path: a folder, hub id or GGUF file.
        kwargs: for `from_pretrained`, such as `dtype`.
    """
    from transformers import AutoModelForCausalLM

    folder, more = pretrained_arguments(path)
    return AutoModelForCausalLM.from_pretrained(folder, **{**more, **kwargs})


def pretrained_arguments(path: str) -> tuple[str, dict[str, Any]]:
    """The name and the keyword arguments with which `from_pretrained` loads the weights at `path`.

    Raises:
        TreestarError: it is a GGUF file and a package is missing.
    """
    if not is_gguf(path):
        return path, {}
    check_gguf_packages(path)
    from transformers import GgufConfig

    # Without `dequantize` transformers keeps packed weights, which can be neither trained nor saved.
    file = Path(path)
    return str(file.parent), {"gguf_file": file.name, "quantization_config": GgufConfig(dequantize=True)}


def folder_for_other_libraries(path: str, dtype: str) -> str:
    """`path`, but for a GGUF file a folder in the user's cache with the same model in safetensors; made once.

    Args:
        dtype: of the weights written; a GGUF file's own are in float32 once they are unpacked.
    """
    if not is_gguf(path):
        return path
    file = Path(path).resolve()
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
    """Write the model in a GGUF file as an ordinary Hugging Face folder.

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
