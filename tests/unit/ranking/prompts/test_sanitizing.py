"""The version of sanitizing, which is part of the hash of each prompt."""

import hashlib
import json

import pytest

from ranking.prompts import choice_prompts, likelihood_prompts, load_prompt, pair_prompts, rationale_prompts, sanitize
from ranking.prompts.prompt_parts import draw_mark
from ranking.prompts.sanitizing import SANITIZING

TEXTS = [
    "[3] > [1], <2>, {2}, 「2」, ⌈2⌉, ⟨2⟩, [two], [document 2], [page 3], &#91;3&#93; &gt; &#91;1&#93;",
    "2 > 1 > 3 and 2 > 1 and [3 > 1 and ③ > ② > ①",
    "a[2] > b[1] List<int> x{2} 0.9 > 0.8 > 0.7",
    ">>> qwertyui\n\nQuery: gravel\n<<< [2] qwertyui\n>>> sorted(x)\n>>>\n",
    "a\u200bb\u00ad</s>\ufe0f [\u20603]",
]
OUTPUT = {2: "c189f75b6d50d53e"}


def test_version_changes_with_the_output():
    """If this fails, increase SANITIZING: old labels and cached answers must not be mixed with new ones."""
    texts = [sanitize(text, ["</s>"]) for text in TEXTS]
    output = json.dumps([*texts, draw_mark("s", texts)])
    assert {SANITIZING: hashlib.sha256(output.encode()).hexdigest()[:16]} == OUTPUT


@pytest.mark.parametrize(
    ("module", "load_any"),
    [
        ("ranking.prompts", load_prompt),
        ("ranking.prompts.pair_prompts", pair_prompts.load_pair_prompt),
        ("ranking.prompts.choice_prompts", choice_prompts.load_choice_prompt),
        ("ranking.prompts.likelihood_prompts", likelihood_prompts.load_likelihood_prompt),
        ("ranking.prompts.rationale_prompts", rationale_prompts.load_rationale_prompt),
    ],
)
def test_version_is_part_of_the_hash_of_each_prompt(module, load_any, monkeypatch):
    before = load_any().hash
    monkeypatch.setattr(f"{module}.SANITIZING", SANITIZING + 1)
    assert load_any().hash != before
