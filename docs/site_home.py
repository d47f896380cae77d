"""A hook of mkdocs: the site's first page is the README, and links out of docs/ lead to the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def on_files(files: Any, config: Any) -> Any:
    """Add the README as `index.md`, its links as seen from docs/."""
    from mkdocs.structure.files import File

    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](").replace("`docs/", "`")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to what is no page become text: the file is in the repository."""

    def keep(match: re.Match[str]) -> str:
        target = match[2].partition("#")[0]
        if target.startswith("http") or not target:
            return match[0]
        place = (Path(page.file.src_uri).parent / target).as_posix()
        parts: list[str] = []
        for part in place.split("/"):
            parts = parts[:-1] if part == ".." and parts else [*parts, part]
        return match[0] if files.get_file_from_path("/".join(parts)) else f"{match[1]} (`{target.lstrip('./')}`)"

    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", keep, markdown)
