"""Settings that are a JSON list of entries: clients, issuers. What is wrong is told by its place, and never shown."""

import json
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from tokensvc.errors import SettingsError

Entry = TypeVar("Entry", bound=BaseModel)


def parse_entries(text: str, entries: TypeAdapter[list[Entry]], variable: str, remedy: str) -> list[Entry]:
    """Nothing set is an empty list. Raises SettingsError."""
    try:
        return entries.validate_python(json.loads(text or "[]"))
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(variable, f"has an entry that is refused ({where}: {problem['msg']})", remedy) from None
    except (ValueError, RecursionError):
        raise SettingsError(variable, "is not a JSON list", remedy) from None
