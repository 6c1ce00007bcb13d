"""Writes entities.ts beside it: the character references of HTML 4 by their names, as Python's html.unescape reads them.

    python src/text/entities.py && npx biome check --write src/text/entities.ts
"""

from html.entities import html5, name2codepoint
from pathlib import Path

rows = " ".join(f"{name}{'?' if name in html5 else ':'}{code:x}" for name, code in sorted(name2codepoint.items()))
Path(__file__).with_suffix(".ts").write_text(f'''/** Character references of HTML 4; entities.py writes them. After "?" those that Python reads without a semicolon too. */
export const ENTITIES =
  "{rows}";
''')
