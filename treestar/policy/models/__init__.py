"""Models by name: shipped ones, folders, and ids on the Hugging Face hub."""

from treestar.policy.models.loading import (
    DEFAULT_POLICY,
    PROBLEMS_PATH,
    SHIPPED_NAMES,
    Dtype,
    device_for,
    dtype_for,
    loading,
    model_config,
    policy_path,
    ppm_path,
    shipped_path,
)
from treestar.policy.models.tokenizer import load_tokenizer

__all__ = [
    "DEFAULT_POLICY",
    "PROBLEMS_PATH",
    "SHIPPED_NAMES",
    "Dtype",
    "device_for",
    "dtype_for",
    "load_tokenizer",
    "loading",
    "model_config",
    "policy_path",
    "ppm_path",
    "shipped_path",
]
