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
    stop_seconds: float = 30.0
    """Between SIGTERM and SIGKILL of a stopped task
    (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html>)."""


SETTINGS = Settings()
