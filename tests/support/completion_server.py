"""A small OpenAI-compatible server over the toy model, in a thread, or in a process that can be killed:
`python completion_server.py PORT` prints its port once it is ready.

The model that a request names selects the behavior: `toy` follows the plain protocol; `toy-says-stops` also
reports the stop string, as vLLM does; `toy-strict` rejects fields that OpenAI's protocol does not have;
`toy-talkative` rejects every request and quotes the key.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from treestar.policy import load_policy
from treestar.policy.backends.generated import Generated
from treestar.policy.backends.request import Request
from treestar.policy.formats import plain_template
from treestar.types import Sampling

KNOWN = {"model", "prompt", "messages", "max_tokens", "temperature", "top_p", "stop", "seed", "logprobs"}


class Refused(Exception):
    """Answered with status 400."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    policy: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            answer, status = self.answer(body), 200
        except Refused as refused:
            answer, status = {"error": {"message": str(refused), "code": 400}}, 400
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
            self.wfile.write(data)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(body) - KNOWN)
        if body["model"] == "toy-strict" and unknown:
            raise Refused(f"Unknown parameter: '{unknown[0]}'.")
        if body["model"] == "toy-talkative":
            raise Refused(f"cannot do this for {self.headers['Authorization']}")
        is_chat = self.path == "/v1/chat/completions"
        prompt = self.policy.tokenizer(chat_text(body) if is_chat else body["prompt"])["input_ids"]
        if len(prompt) + body["max_tokens"] > self.policy.context:
            raise Refused(
                f"This model's maximum context length is {self.policy.context} tokens. However, you requested "
                f"{body['max_tokens']} output tokens and your prompt contains {len(prompt)} input tokens."
            )
        sampling = Sampling(body["temperature"], body.get("top_p", 1.0), body["max_tokens"])
        request = Request(prompt, 1, sampling, body.get("seed", 0), tuple(body.get("stop", ())))
        self.policy.generator.submit(request)
        [generated] = request.done.result().continuations
        usage = {"prompt_tokens": len(prompt), "completion_tokens": generated.tokens}
        return {"choices": [choice(generated, body, is_chat)], "usage": usage}

    def log_message(self, format: str, *args: Any) -> None:
        pass


def chat_text(body: dict[str, Any]) -> str:
    messages = body["messages"]
    if not body.get("continue_final_message"):
        return plain_template(messages)
    return plain_template(messages[:-1]) + messages[-1]["content"]


def choice(generated: Generated, body: dict[str, Any], is_chat: bool) -> dict[str, Any]:
    text, stop = generated.text, None
    for each in body.get("stop", ()):
        if not generated.ended and each in text:
            text, stop = text[: text.index(each)], each
    found: dict[str, Any] = {"index": 0, "finish_reason": "stop" if generated.ended or stop else "length"}
    if body["model"] == "toy-says-stops":
        found["stop_reason"] = stop
    if is_chat:
        return found | {"message": {"role": "assistant", "content": text}, "logprobs": None}
    return found | {"text": text, "logprobs": {"token_logprobs": [generated.log_probability]}}


def completion_server(port: int) -> ThreadingHTTPServer:
    """The server, listening; at port 0 it chooses one."""
    handler = type("ToyHandler", (Handler,), {"policy": load_policy("toy", dtype="float32")})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    server = completion_server(int(sys.argv[1]))
    print(server.server_port, flush=True)
    server.serve_forever()
