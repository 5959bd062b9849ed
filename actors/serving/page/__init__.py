"""The demo page, which compares the first-stage ranking with the student's."""

from pathlib import Path

PAGE = Path(__file__).with_name("index.html")
