"""Loads a scorer by name: this project's PPM or a public reward model, in this process or behind a server."""

from __future__ import annotations

from dataclasses import replace

from treestar.policy.backends.openai import OPENAI_PREFIX
from treestar.policy.backends.remote_server import RemoteServerConfig
from treestar.policy.backends.vllm_engine import VLLM_PREFIX, parse_vllm_name
from treestar.policy.models import Dtype, loading, ppm_path, shipped_path
from treestar.ppm.model import load_ppm
from treestar.ppm.openai import OpenAIScorer, load_openai_scorer
from treestar.ppm.public.aggregate import AGGREGATES, Aggregate
from treestar.ppm.public.checkpoint import Checkpoint, read_checkpoint
from treestar.ppm.public.choose import kind_of
from treestar.ppm.public.kinds import IMPLICIT_KIND, JUDGE_KIND, OWN_KIND, SCORER_KINDS, ScorerKind
from treestar.ppm.public.load import load_public_scorer, split_reference
from treestar.ppm.public.scorer import PublicScorer
from treestar.ppm.public.vllm import load_public_vllm_scorer
from treestar.ppm.scorer import TransformersScorer
from treestar.ppm.vllm import VLLMScorer, load_vllm_scorer
from treestar.types import TreestarError

__all__ = ["LoadedScorer", "load_scorer"]

LoadedScorer = TransformersScorer | PublicScorer | VLLMScorer | OpenAIScorer


def load_scorer(
    name: str,
    device: str | None = None,
    max_batch: int = 128,
    dtype: Dtype | None = None,
    scorer_kind: ScorerKind | None = None,
    aggregate: Aggregate | None = None,
) -> LoadedScorer:
    """Load a scorer over a reward model, or connect to one behind a server.

    Args:
        name: a shipped PPM, a model folder (also in the layout of the released rStar-Math code), or a hub id, also of a
            public reward model such as Qwen/Qwen2.5-Math-PRM-7B; `MODEL?reference=OTHER` for an implicit PRM with a
            reference other than EurusPRM's. `vllm:MODEL` and `openai:MODEL@URL` as for `load_policy`; some kinds
            of public models run on vLLM, none behind a server.
        device: `cpu`, `cuda`, `cuda:1`, ...; None takes CUDA if available.
        max_batch: maximum number of states in a batch.
        dtype: the data type; None takes a fast one on the device.
        scorer_kind: the convention that the model follows; None recognizes it from its files.
        aggregate: how the scores of a state's steps become one; None for the convention's own. Only for public models.

    Raises:
        TreestarError: the model does not exist, cannot be read, or is not recognized; the device, the kind or the
            aggregate does not exist, or does not fit the model.
    """
    check_choice("scorer kind", scorer_kind, SCORER_KINDS)
    check_choice("aggregate", aggregate, AGGREGATES)
    if scorer_kind == JUDGE_KIND:
        raise TreestarError(f"scorer {name!r} is to be a judge, which generates text: load it with load_judge")
    if name.startswith(OPENAI_PREFIX):
        check_own(name, scorer_kind or OWN_KIND, aggregate, "a server")
        return load_openai_scorer(name, RemoteServerConfig(concurrency=max_batch))
    if name.startswith(VLLM_PREFIX):
        model, arguments = parse_vllm_name(name)
        checkpoint, kind = recognized(model, scorer_kind)
        if kind == OWN_KIND:
            check_own(name, kind, aggregate)
            return load_vllm_scorer(name, max_batch, dtype)
        checkpoint = replace(checkpoint, name=name)
        return load_public_vllm_scorer(checkpoint, kind, arguments, max_batch, dtype, aggregate)
    model, reference = split_reference(name)
    if shipped_path("PPM", model) is not None:
        scorer_kind = scorer_kind or OWN_KIND
    checkpoint, kind = recognized(model, scorer_kind)
    checkpoint = replace(checkpoint, name=name)
    if reference is not None and kind != IMPLICIT_KIND:
        raise TreestarError(
            f"scorer {name!r}: only a model of the kind {IMPLICIT_KIND} has a reference model, and this is of the kind "
            f"{kind}: leave out what follows the ?"
        )
    if kind == OWN_KIND:
        check_own(name, kind, aggregate)
        from treestar.policy.models.packed_linear import pack_linear_layers

        ppm = load_ppm(model, device, dtype)
        pack_linear_layers(ppm.model.base_model)
        return TransformersScorer(ppm, name, max_batch)
    return load_public_scorer(checkpoint, kind, reference, device, max_batch, dtype, aggregate)


def recognized(name: str, wanted: ScorerKind | None = None) -> tuple[Checkpoint, ScorerKind]:
    """The model's files, and its kind: `wanted`, else what the files say."""
    path = ppm_path(name)
    with loading("PPM", name):
        checkpoint = read_checkpoint(name, path)
        return checkpoint, wanted or kind_of(checkpoint)


def check_choice(what: str, value: str | None, known: tuple[str, ...]) -> None:
    """Raises TreestarError if there is no such `value`."""
    if value is not None and value not in known:
        raise TreestarError(f"there is no {what} {value!r}: it is one of {', '.join(known)}")


def check_own(name: str, kind: ScorerKind, aggregate: Aggregate | None, through: str = "") -> None:
    """Raises TreestarError if the model is not this project's PPM, or an aggregate is given for one.

    Args:
        through: what would compute it.
    """
    if kind != OWN_KIND:
        raise TreestarError(
            f"scorer {name!r} is of the kind {kind}, which cannot be computed through {through}: give the folder or "
            "hub id alone, and transformers computes it in this process"
        )
    if aggregate is not None:
        raise TreestarError(
            f"scorer {name!r} is a PPM, which scores single steps, and search adds these up: leave out --aggregate, "
            "which is for public reward models"
        )
