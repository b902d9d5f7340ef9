"""Pages for readers lead where they say: links, anchors, and a way from the README to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def without_code(text: str) -> str:
    """Return a page without code, in which # begins no heading and brackets are no link."""
    return re.sub(
        r"`[^`\n]*`", lambda code: code[0].replace("[", "(").replace("]", ")"), re.sub(r"(?m)^ {4}.*$", "", text)
    )


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#{1,6} +(.*?) *$", without_code(page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = sum(1 for each in found if re.fullmatch(re.escape(name) + r"(-\d+)?", each))
        found.add(f"{name}-{number}" if name in found else name)
    return found


def links(page: Path) -> list[tuple[Path, str]]:
    """Return the file and the anchor of each link of a page that stays in the checkout; "" for no anchor."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))
    local = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in local]


@pytest.mark.any_python
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    lost = [
        f"{path.name}#{anchor}"
        for path, anchor in links(page)
        if not path.exists() or (anchor and anchor not in anchors(path))
    ]
    assert not lost, f"{page.name} links to what is not there"


@pytest.mark.any_python
def test_every_page_can_be_reached_from_the_readme():
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead += [path for path, _ in links(page) if path.suffix == ".md" and path not in reached]
    assert sorted({page.name for page in PAGES} - {page.name for page in reached}) == []
