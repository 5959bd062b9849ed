"""The page that shows what a re-ranker changes."""

from pathlib import Path

PAGE = Path(__file__).with_name("index.html")
