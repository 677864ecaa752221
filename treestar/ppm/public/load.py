"""From a public reward model's name to its scorer."""

from __future__ import annotations

from functools import partial
from typing import Any

from treestar.policy.backends.prefix_cache import PrefixCache
from treestar.policy.backends.transformers import context_length
from treestar.policy.models import Dtype, device_for, dtype_for, loading, ppm_path, text_config, without_warnings
from treestar.ppm.public.aggregate import Aggregate
from treestar.ppm.public.checkpoint import Checkpoint, read_checkpoint
from treestar.ppm.public.choose import CONVENTIONS
from treestar.ppm.public.convention import ids_of
from treestar.ppm.public.heads import log_probability
from treestar.ppm.public.implicit_prm import REFERENCE
from treestar.ppm.public.kinds import IMPLICIT_KIND, ScorerKind
from treestar.ppm.public.scorer import PublicScorer
from treestar.ppm.reading import TransformersReader
from treestar.types import TreestarError

__all__ = ["load_public_scorer", "split_reference"]

PROBE = "Step 1: 12 + 3 = 15.\n\nStep 2: So the answer is $\\boxed{15}$."
"""What two equal tokenizers cut equally."""

REFERENCE_ARGUMENT = "reference="

PREFIX_CACHE_BYTES = 2**30
"""Memory for the keys and values of prefixes that can be reused."""


def split_reference(name: str) -> tuple[str, str | None]:
    """The model and the reference in `MODEL?reference=OTHER`; without a `?` no reference.

    Raises:
        TreestarError: what follows the `?` is something else.
    """
    model, mark, query = name.partition("?")
    reference = query.removeprefix(REFERENCE_ARGUMENT)
    if mark and (not reference or reference == query):
        raise TreestarError(f"scorer {name!r}: what follows the ? is not {REFERENCE_ARGUMENT}MODEL")
    return model, reference or None


def load_public_scorer(
    checkpoint: Checkpoint,
    kind: ScorerKind,
    reference: str | None,
    device: str | None,
    max_batch: int,
    dtype: Dtype | None,
    aggregate: Aggregate | None,
) -> PublicScorer:
    """The scorer over a public reward model; see `load_scorer`.

    Args:
        checkpoint: the model's files.
        kind: one of `CONVENTIONS`.
        reference: the reference model of an implicit PRM; None for that of EurusPRM.

    Raises:
        TreestarError: the files are not those of such a model, or cannot be read.
    """
    device = device_for(device)
    with loading("PPM", checkpoint.name):
        convention = CONVENTIONS[kind](checkpoint)
        readers = [reader_of(convention.head, load_backbone(checkpoint, device, dtype))]
    if kind == IMPLICIT_KIND:
        path = reference or REFERENCE
        with loading("PPM", path):
            other = read_checkpoint(path, ppm_path(path))
            check_same_tokens(checkpoint, other)
            readers.append(reader_of(partial(log_probability, other), load_backbone(other, device, dtype)))
    context = min(context_length(reader.backbone.config, convention.tokenizer) for reader in readers)
    return PublicScorer(convention, readers, context, aggregate, max_batch)


def reader_of(head: Any, backbone: Any) -> TransformersReader:
    return TransformersReader(backbone, head(backbone), PrefixCache(PREFIX_CACHE_BYTES))


def check_same_tokens(checkpoint: Checkpoint, reference: Checkpoint) -> None:
    """Raises TreestarError if the two tokenizers differ: log-probabilities of other tokens cannot be compared."""
    first, second = (ids_of(each.tokenizer, PROBE) for each in (checkpoint, reference))
    if first != second:
        raise TreestarError(
            f"scorer {checkpoint.name!r}: its reference {reference.name!r} has another tokenizer, so it is not the "
            "model that it was trained from: name that one as MODEL?reference=OTHER"
        )


def load_backbone(checkpoint: Checkpoint, device: str, dtype: Dtype | None) -> Any:
    """The model without its head, by the class of transformers for its `model_type`, never by code of the checkpoint.

    Raises:
        TreestarError: weights are missing, or the model does not read from left to right.
    """
    from transformers import AutoConfig, AutoModel

    from treestar.policy.models.packed_linear import pack_linear_layers

    config = AutoConfig.from_pretrained(checkpoint.path, trust_remote_code=False)
    # torch's own attention leaves the cap of Gemma 2's logits out.
    caps = getattr(text_config(config), "attn_logit_softcapping", None) is not None
    with without_warnings():  # the head is not part of this model
        model, info = AutoModel.from_pretrained(
            checkpoint.path,
            config=config,
            dtype=dtype or dtype_for(device),
            trust_remote_code=False,
            attn_implementation="eager" if caps else None,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise TreestarError(f"scorer {checkpoint.name!r}: its checkpoint lacks {', '.join(missing[:3])}")
    directions = {module.is_causal for module in model.modules() if hasattr(module, "is_causal")}
    if directions != {True}:
        raise TreestarError(
            f"scorer {checkpoint.name!r} is a {type(model).__name__}, which does not read from left to right: scores "
            "of steps need a causal (decoder) model"
        )
    return pack_linear_layers(model.to(device).eval())
