"""Where the windows of a text may begin."""

from __future__ import annotations

import numpy as np

from pipelines.diffusion.text.windows import paragraph_starts


def test_a_paragraph_with_one_token_too_few_begins_no_window() -> None:
    tokens = np.array([1, 0, 0, 1, 1])  # 0 is the line break; a paragraph begins at 3
    assert paragraph_starts(tokens, 2, newline=0).tolist() == [0, 3]
    assert paragraph_starts(tokens, 3, newline=0).tolist() == [0]
