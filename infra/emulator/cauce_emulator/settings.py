"""Where this emulator lives: set once by the launcher."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Settings:
    """One emulator."""

    endpoint: str = "http://127.0.0.1:4566"
    folder: Path = Path(".")
    images: dict = field(default_factory=dict)
    """Repository name -> how its containers run here; see README.md."""
    stop_seconds: float | None = None
    """Most seconds between SIGTERM and SIGKILL of a stopped task, for tests."""


SETTINGS = Settings()
