"""What treestar adds to vLLM's workers; vLLM imports it by its name in the processes that compute."""

from __future__ import annotations

from typing import Any

__all__ = ["WeightReader"]


class WeightReader:
    """A mixin of vLLM's worker."""

    model_runner: Any
    reload_weights: Any

    def read_weights_again(self) -> None:
        """Take the weights that the model's folder has now."""
        from vllm.model_executor.layers.vocab_parallel_embedding import UnquantizedEmbeddingMethod

        self.reload_weights()
        # On a CPU vLLM computes the output layer from a packed copy. Where the layer shares the weights of the
        # embeddings, vLLM 0.32 reloads only these, and keeps the copy of the former ones.
        for layer in self.model_runner.get_model().modules():
            method = getattr(layer, "quant_method", None)
            if isinstance(method, UnquantizedEmbeddingMethod):
                method.process_weights_after_loading(layer)
