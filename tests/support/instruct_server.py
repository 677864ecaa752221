"""An HTTP server that answers as an instruct model behind some server would: the same reply to every question.

What the reply is and what the server takes are arguments, so that each server of docs/guides/backends.md has its like.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COUNTING = "Count from 1 to 20"
COUNTED = " ".join(map(str, range(1, 21)))

Refuse = Callable[[str, dict[str, Any]], tuple[int, str] | None]
"""(path, body) -> status and message of a refusal, or None."""


def takes_everything(path: str, body: dict[str, Any]) -> None:
    return None


def unknown_fields(*names: str, sentence: str = "Unknown parameter: '{}'.") -> Refuse:
    """Refuses fields of these names, one after the other, as OpenAI does."""

    def refuse(path: str, body: dict[str, Any]) -> tuple[int, str] | None:
        found = [name for name in names if name in body]
        return (400, sentence.format(found[0])) if found else None

    return refuse


@dataclass
class InstructServer:
    """A context manager; `url` is its base URL."""

    reply: str
    """What the model writes to every question."""
    counted: str = COUNTED
    """What it writes when it is asked to count."""
    continues: bool = False
    """Whether an unfinished last message is continued."""
    needs: str | None = None
    """The field of the request, or of the last message, without which nothing is continued."""
    trims: bool = False
    """Whether its chat template cuts off blanks at the end of an unfinished message."""
    repeats: bool = False
    """Whether a continuation begins with what it continues."""
    stops: str = "unnamed"
    """How it stops at stop strings: `unnamed`, `named`, `kept` (where it is asked to), `named kept`, or `ignored`."""
    thought: str | None = None
    """What the model thinks before it replies, in the field `thought_field`."""
    thought_field: str = "reasoning_content"
    misfiles: bool = False
    """Whether all that it writes comes in the field for thoughts."""
    tokenizer: Any = None
    """A tokenizer of bytes; with one there is `/completions`."""
    takes_ids: bool = True
    returns_ids: bool = True
    adds_bos: bool = False
    counts: bool = True
    """Whether answers say how many tokens they have."""
    refuse: Refuse = takes_everything
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(path, body) of all requests."""

    def __enter__(self) -> InstructServer:
        owner = self

        class Handler(InstructHandler):
            server_of = owner

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def steps(self) -> list[dict[str, Any]]:
        """The requests that are not tests of what the server can do."""
        return [body for _, body in self.bodies if body.get("stop") != ["9"]]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.bodies.append((path, body))
        if path.endswith("/chat/completions"):
            refusal = self.refuse(path, body)
            return self.refusal(*refusal) if refusal else (200, self.chat(body))
        if self.tokenizer is None:
            return self.refusal(404, "Not Found")
        if not self.takes_ids and isinstance(body["prompt"], list):
            return self.refusal(400, "cannot unmarshal array into Go struct field of type string")
        refusal = self.refuse(path, body)
        return self.refusal(*refusal) if refusal else (200, self.completion(body))

    def refusal(self, status: int, message: str) -> tuple[int, dict[str, Any]]:
        return status, {"error": {"message": message, "code": status}}

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        *_, last = messages = body["messages"]
        asked = next(each["content"] for each in messages[::-1] if each["role"] == "user")
        goes_on = self.continues and last["role"] == "assistant" and (self.needs is None or self.needs in body | last)
        begun = (last["content"].rstrip() if self.trims else last["content"]) if goes_on else ""
        thought = f"<think>{self.thought}</think>" if begun.startswith("<think>") else ""
        text = rest_of(self.counted if COUNTING in asked else thought + self.reply, begun)
        text, details, tokens = self.written(text, body)
        message: dict[str, Any] = {"role": "assistant", "content": begun + text if self.repeats else text}
        if self.misfiles:
            message = {"role": "assistant", "content": None, self.thought_field: text}
        if self.thought is not None and not goes_on:
            limited = body["max_tokens"] < len(self.thought.split())
            thought = " ".join(self.thought.split(" ")[: body["max_tokens"]]) if limited else self.thought
            message = {"role": "assistant", "content": None if limited else text, self.thought_field: thought}
            details = {"finish_reason": "length"} if limited else details
            tokens += len(thought.split())
        prompt_tokens = sum(len(pieces(each["content"])) for each in messages)
        return self.response({"message": message, **details}, prompt_tokens, tokens)

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = body["prompt"]
        ids = prompt if isinstance(prompt, list) else self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        if isinstance(prompt, str) and self.adds_bos:
            ids = [self.tokenizer.bos_token_id, *ids]
        read = self.tokenizer.decode(ids, skip_special_tokens=False)
        begun = read.split("<|assistant|>")[-1].removeprefix(self.tokenizer.bos_token or "")
        text = rest_of(COUNTED if COUNTED.startswith(begun) and begun else self.reply, begun)
        # A token is a byte; the model's end-of-sequence token is one too.
        text, details, tokens = self.written(text, body | {"max_tokens": body["max_tokens"] * 8})
        if body.get("return_token_ids") and self.returns_ids:
            whole = text if "kept" in self.stops else text + (details.get("stop_reason") or "")
            details["token_ids"] = self.tokenizer(whole, add_special_tokens=False)["input_ids"]
            if details["finish_reason"] == "stop" and details.get("stop_reason") is None:
                details["token_ids"].append(self.tokenizer.eos_token_id)
        return self.response({"text": text, **details}, len(ids), tokens)

    def written(self, text: str, body: dict[str, Any]) -> tuple[str, dict[str, Any], int]:
        """What is written of `text` under the request's limits, how that ended, and the number of tokens."""
        tokens = pieces(text)
        stop = None
        if self.stops != "ignored":
            start = len("".join(tokens[: body.get("min_tokens", 1) - 1]))
            places = [(text.index(each, start), each) for each in body.get("stop", ()) if each in text[start:]]
            if places:
                place, stop = min(places)
                tokens = pieces(text[: place + len(stop)])
        if len(tokens) > body["max_tokens"]:
            return "".join(tokens[: body["max_tokens"]]), {"finish_reason": "length", **self.named(None)}, len(tokens)
        if stop is None:
            return text, {"finish_reason": "stop", **self.named(None)}, len(tokens) + 1
        keeps = "kept" in self.stops and body.get("include_stop_str_in_output")
        end = place + len(stop) if keeps else place
        return text[:end], {"finish_reason": "stop", **self.named(stop)}, len(tokens)

    def named(self, stop: str | None) -> dict[str, Any]:
        return {"stop_reason": stop} if "named" in self.stops.split() else {}

    def response(self, choice: dict[str, Any], prompt_tokens: int, tokens: int) -> dict[str, Any]:
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens}
        return {"choices": [{"index": 0, **choice}], **({"usage": usage} if self.counts else {})}


class InstructHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: InstructServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server_of.answer(self.path, body)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def pieces(text: str) -> list[str]:
    """Tokens: words with the blank before them, and line breaks with what is before them."""
    return re.findall(r"[^\n\S]*[^\s\n]*\n+|[^\n\S]*\S+|\s+", text)


def rest_of(text: str, begun: str) -> str:
    """How the model goes on with `begun`: with the rest of `text`, or with all of it if it would not have begun so."""
    return text[len(begun) :] if text.startswith(begun) else text
