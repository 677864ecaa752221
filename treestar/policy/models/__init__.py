"""Models by name: shipped ones, fetched ones, folders, GGUF files, and ids on the Hugging Face hub."""

from treestar.policy.models.adapter import base_to_fetch, fetchable_base
from treestar.policy.models.checkpoint import (
    folder_for_other_libraries,
    load_causal_model,
    load_config,
    load_generation_config,
    load_weights,
)
from treestar.policy.models.fetchable import FETCHABLE, fetched_folder
from treestar.policy.models.loading import (
    DEFAULT_POLICY,
    OFFLINE_POLICY,
    SCORERS_OF_POLICIES,
    SHIPPED,
    SHIPPED_NAMES,
    Dtype,
    device_for,
    dtype_for,
    loading,
    model_config,
    policy_path,
    ppm_path,
    problems_path,
    shipped_path,
    without_warnings,
)
from treestar.policy.models.text_config import text_config
from treestar.policy.models.tokenizer import load_tokenizer, repaired_tokenizer

__all__ = [
    "DEFAULT_POLICY",
    "FETCHABLE",
    "OFFLINE_POLICY",
    "SCORERS_OF_POLICIES",
    "SHIPPED",
    "SHIPPED_NAMES",
    "Dtype",
    "base_to_fetch",
    "device_for",
    "dtype_for",
    "fetchable_base",
    "fetched_folder",
    "folder_for_other_libraries",
    "load_causal_model",
    "load_config",
    "load_generation_config",
    "load_tokenizer",
    "load_weights",
    "loading",
    "model_config",
    "policy_path",
    "ppm_path",
    "problems_path",
    "repaired_tokenizer",
    "shipped_path",
    "text_config",
    "without_warnings",
]
