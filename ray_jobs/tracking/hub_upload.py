"""Upload a version of the registry to the Hugging Face Hub, or to another server with its API ($HF_ENDPOINT)."""

from __future__ import annotations

import os

from ranking.errors import InputError
from ranking.registry import Registry
from ranking.storage.checksums import check_files
from ranking.storage.sources import fetched


def push(registry: Registry, version: str, repository: str, note: str) -> str:
    """Upload all files of a version to a model repository, in one commit. A new repository is private.

    The token is that of `hf auth login` or of the environment variable HF_TOKEN.

    Args:
        registry: The registry.
        version: The version.
        repository: Id of the model repository, for example `org/name`.
        note: Description of the commit.

    Returns:
        URL of the commit.

    Raises:
        InputError: The version is damaged, or the Hub refuses the upload or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.errors import HTTPError as ConnectionFailure  # type: ignore[attr-defined]

    folder = registry.folder / version
    check_files(folder, "promote it again")
    api = HfApi(library_name="rradistill")
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        with fetched(folder.uri) as path:
            commit = api.upload_folder(
                repo_id=repository, folder_path=path, commit_message=f"Upload {version}", commit_description=note
            )
    except LocalTokenNotFoundError:
        raise InputError("argument --push: no token for the Hub; set HF_TOKEN, or run `hf auth login`") from None
    except HFValidationError as error:
        raise InputError(f"argument --push: {repository!r} is no repository id: {_first_line(error)}") from None
    except HfHubHTTPError as error:
        raise InputError(f"argument --push: {repository}: {_refusal(error)}") from None
    except (ConnectionFailure, OSError) as error:
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        raise InputError(f"argument --push: cannot reach {endpoint} ({_first_line(error)})") from None
    return str(commit.commit_url)


def _refusal(error: Exception) -> str:
    """Describe why the Hub refused a request, in one line."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        return f"the Hub refused the token (status {status}); use one that may write to this repository"
    return f"the Hub answered with status {status} ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]
