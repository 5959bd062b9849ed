"""Write requests for a batch service, and answer those whose results are already there."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Any

from actors.hosted.batch_state import BatchFolders, BatchLine, custom_id, read_state
from actors.hosted.chat_requests import PATH, ChatPrompt, body_of, hash_of
from actors.hosted.hosted_errors import RefusedPromptError, RequestDeferredError
from actors.vllm.completion import Completion
from actors.vllm.response_cache import ResponseCache
from ranking.hosted_settings import HostedSettings

ENDPOINT = f"/v1{PATH}"


class BatchRequests:
    """Generation function of the backend `batch`. One object writes all requests of a job.

    Args:
        settings: Settings of the hosted model.
        model: Name of the model.
        folders: Folders of the batch files.
    """

    def __init__(self, settings: HostedSettings, model: str, folders: BatchFolders) -> None:
        self.settings, self.model, self.folders = settings, model, folders
        self._received = ResponseCache(folders.received)
        state = read_state(folders, settings.max_retries)
        self._rounds, self._refused = state.rounds, state.refused
        self._written = state.waiting | state.staged
        self._unwritten: list[BatchLine] = []

    async def generate(self, prompt: ChatPrompt, sampling: Mapping[str, Any]) -> Completion:
        """Return the answer to a prompt if there is a result, or else write the request.

        Args:
            prompt: The prompt.
            sampling: See `body_of`.

        Raises:
            RefusedPromptError: The service refuses this prompt, or gave no answer too often.
            RequestDeferredError: There is no result yet.
        """
        structured = self.settings.structured == "json_schema"
        body = body_of(self.settings, self.model, prompt, sampling, structured)
        body_hash = hash_of(body)
        answer = self._received.find(body_hash, 0, 0, 1)
        if answer is not None:
            return Completion(
                answer.raw or "",
                answer.finish_reason,
                answer.prompt_tokens or prompt.tokens,
                answer.completion_tokens,
                answer.cached_tokens,
            )
        if body_hash in self._refused:
            raise RefusedPromptError(f"the batch service: {self._refused[body_hash]}")
        if body_hash not in self._written:
            self._written.add(body_hash)
            self._unwritten.append(batch_line(body, body_hash, self._rounds.get(body_hash, 0) + 1))
        raise RequestDeferredError

    async def write(self) -> None:
        """Write new requests to storage in a background thread."""
        lines, self._unwritten = self._unwritten, []
        if lines:
            await asyncio.to_thread(self.folders.staged.write_rows, f"part-{uuid.uuid4().hex}.parquet", lines)


def batch_line(body: Mapping[str, Any], body_hash: str, number: int) -> BatchLine:
    """Make the line of a batch file, in OpenAI's format (https://platform.openai.com/docs/guides/batch)."""
    line = {"custom_id": custom_id(body_hash, number), "method": "POST", "url": ENDPOINT, "body": body}
    return BatchLine(body_hash=body_hash, round=number, line=json.dumps(line, ensure_ascii=False))
