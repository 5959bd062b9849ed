"""Label a candidate list with a hosted teacher against a scripted server, without Ray."""

import asyncio
import re

from actors.hosted.chat_client import ChatClient
from actors.hosted.deferral import gather_present
from actors.hosted.message_filler import message_filler
from actors.hosted.spend_ledger import SpendLedger
from actors.teachers.listwise.label_outcomes import outcome_of
from actors.teachers.listwise.listwise_requests import ListwiseRequester
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.vllm.response_cache import ResponseCache
from ranking.records import Provenance
from ranking.storage.folder import Folder

PROVENANCE = Provenance(teacher="t", fingerprint="f", engine="openai", targets="tiers")


def hosted_settings(url, hosted=None, **teacher):
    """Make settings of a hosted listwise teacher without a key and with free text."""
    hosted = {"url": url, "api_key_env": None, "structured": "none", **(hosted or {})}
    return ListwiseTeacherSettings(model="m", backend="openai", hosted=hosted, **teacher)


def label_hosted(settings, folder, *rows):
    """Label lists.

    Returns:
        The labels or rejections of the lists that were not deferred, and the summary of the ledger.
    """
    hosted = settings.hosted

    async def run():
        ledger = SpendLedger(Folder(folder), hosted.prices, hosted.spend_cap)
        client = ChatClient(hosted, settings.model, ledger, "teacher.hosted")
        cache = ResponseCache(Folder(folder))
        filler = message_filler(settings)
        requester = ListwiseRequester(settings, filler, cache, client.generate)

        async def outcome(row):
            return outcome_of(row, await requester.rankings(row), settings, PROVENANCE)

        outcomes, error = await gather_present(outcome(row) for row in rows)
        await cache.write()
        await client.close()
        if error is not None:
            raise error
        return [one.row or one.rejection for one in outcomes], await ledger.summary()

    return asyncio.run(run())


def shown_in(body):
    """List the documents of a request in prompt order; each text ends with its number."""
    return [f"d{number}" for number in re.findall(r"some text (\d+)\n>>>", body["messages"][-1]["content"])]


def chain(body, doc_ids):
    """Write an answer that lists these documents with the identifiers of the prompt."""
    shown = shown_in(body)
    return " > ".join(f"[{shown.index(doc_id) + 1}]" for doc_id in doc_ids)
