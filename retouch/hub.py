"""Model directories on the Hugging Face Hub: nothing here is contacted unless a name begins with hf://, or `retouch push` is called."""
from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retouch.errors import missing_extra, one_line

PREFIX = 'hf://'
FILES = ('config.json', 'model.safetensors', 'card.json', 'README.md')      # all that a model directory is there
_NAME = re.compile(r'([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,128}))?')
EXPECTED = 'expected hf://USER/MODEL or hf://USER/MODEL@REVISION'


def is_on_hub(name: str | Path) -> bool:
    """Whether a name asks for the Hub."""
    return str(name).startswith((PREFIX, 'hf:/'))                # a Path has lost one of the strokes


def fetch_model(name: str | Path) -> Path:
    """Brings a model directory's files into huggingface_hub's cache, where they are not there already.

    Args:
        name: hf://USER/MODEL, with @REVISION a branch, tag or commit.

    Returns:
        the folder in the cache.

    Raises:
        ValueError: a malformed name, no such model or revision, no connection and nothing cached, or the extra is missing.
    """
    match = _NAME.fullmatch(re.sub('^hf:/+', '', str(name)))
    if match is None:
        raise ValueError(f'{name}: {EXPECTED}')
    repository, revision = match.groups()
    hub = _library()
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:                                   # of the network, of the library, of the service
        raise ValueError(f'{PREFIX}{repository}{f"@{revision}" if revision else ""} {_why(error)}') from None
    if not (folder / FILES[0]).is_file():
        raise ValueError(f'{PREFIX}{repository} holds no model of Retouch: expected {FILES[0]} and {FILES[1]}; `retouch push` writes them')
    return folder


def name_of(folder: Path) -> str | None:
    """USER/MODEL@COMMIT of a folder in huggingface_hub's cache; None of any other."""
    if folder.parent.name != 'snapshots' or not folder.parents[1].name.startswith('models--'):
        return None
    return f'{folder.parents[1].name.removeprefix("models--").replace("--", "/")}@{folder.name[:12]}'


def check_repository(repository: str) -> str:
    """USER/MODEL, with or without hf:// before it -> USER/MODEL. ValueError for anything else."""
    match = _NAME.fullmatch(repository.removeprefix(PREFIX))
    if match is None or match[2]:
        raise ValueError(f'{repository}: expected USER/MODEL')
    return match[1]


def push_files(repository: str, files: Mapping[str, bytes | Path], message: str, private: bool = False) -> str:
    """One commit of files to a model repository, made if there is none; the token is huggingface_hub's own business.

    Args:
        repository: USER/MODEL.
        files: name there -> bytes, or a file here.
        message: of the commit.
        private: of a repository that is new.

    Returns:
        the commit's address.

    Raises:
        ValueError: a malformed name, no login, no right to write, no connection, or the extra is missing.
    """
    name, hub = check_repository(repository), _library()
    api = hub.HfApi()
    operations = [hub.CommitOperationAdd(path_in_repo=file, path_or_fileobj=content if isinstance(content, bytes) else str(content))
                  for file, content in files.items()]
    try:
        api.create_repo(name, repo_type='model', private=private, exist_ok=True)
        return str(api.create_commit(name, operations, commit_message=message, repo_type='model').commit_url)
    except Exception as error:                                   # as above
        raise ValueError(f'{name} {_why(error)}') from None


def _library() -> Any:
    try:
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars
    except ModuleNotFoundError as error:
        line = missing_extra(error)
        if line is None:
            raise
        raise ValueError(line) from None
    if not sys.stderr.isatty():
        disable_progress_bars()
    return huggingface_hub


def _why(error: Exception) -> str:
    """What went wrong, in one line and without what a request carried: its headers hold the token."""
    status = getattr(getattr(error, 'response', None), 'status_code', None)
    names = {cls.__name__ for cls in type(error).__mro__}
    if 'RevisionNotFoundError' in names:
        return 'has no such revision: expected a branch, a tag or a commit'
    if 'RepositoryNotFoundError' in names or status in (401, 403):
        return ('is not there, or not for this login: expected the name of a model, and for private ones and for writing a login; run '
                '`hf auth login`')
    if names & {'LocalEntryNotFoundError', 'OfflineModeIsEnabled', 'ConnectError', 'ConnectTimeout', 'ConnectionError', 'ReadTimeout'}:
        return 'cannot be reached, and is not in the cache: expected a connection to the Hub (HF_HUB_OFFLINE unset)'
    if 'LocalTokenNotFoundError' in names:
        return 'needs a login: run `hf auth login`'
    said = re.sub(r'hf_\w+', 'hf_…', one_line(error))
    return f'could not be exchanged with the Hub ({type(error).__name__}{f" {status}" if status else ""}: {said[:200]})'
