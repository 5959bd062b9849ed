"""The settings reference covers every setting and is current."""

from pathlib import Path

from ray_jobs.common.run_settings import RunSettings
from tools.settings_reference import page


def test_page_is_current():
    current = Path("docs/settings.md").read_text(encoding="utf-8")
    assert current == page(), "run: python -m tools.settings_reference docs/settings.md"


def test_page_has_every_top_level_setting_with_type_default_and_choices():
    text = page()
    for name in RunSettings.model_fields:
        assert f"`{name}`" in text or f"\n## {name}" in text
    assert "| `epochs` | int | `2` |" in text
    assert '| `missing` | `hard_negative` \\| `append` \\| `drop` | `"hard_negative"` |' in text
    assert "## students[] (kind: rra_gpt)" in text
