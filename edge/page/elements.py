"""The elements of a page: sections, notes, headline figures, verdicts, badges and keys of colours."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Iterable, Sequence

from edge.page.markup import Html, element, joined

GOOD, BAD, DOUBT, NEUTRAL = "good", "bad", "doubt", "neutral"
"""Kinds of banners and badges: a demand is met, a demand is missed, nobody can tell, or nothing was demanded."""

INT8_BADGE, FLOAT_BADGE = "blue", "orange"
"""Kinds of badges that tell the two precisions apart, in the colours of the charts."""


_UNFOLDED = 3
"""Sentences of a box that are shown at once; more are folded."""


@dataclass(frozen=True)
class Headline:
    """One large figure at the top of a page.

    Attributes:
        value: Figure with its unit.
        name: Name of the figure.
        remark: Smaller line below the figure; "" shows none.
    """

    value: str
    name: str
    remark: str = ""


def section(title: str, *parts: str) -> Html:
    """Return a section with its title, or an empty text where none of the parts has any content."""
    content = joined(*parts)
    return element("section", element("h2", title), content) if content else Html()


def paragraph(text: str, is_faint: bool = False) -> Html:
    """Return a paragraph, in a faint colour where it is an aside."""
    return element("p", text, class_="faint" if is_faint else "")


def note(text: str) -> Html:
    """Return a paragraph that stands out, for what a reader must not miss."""
    return element("p", text, class_="note")


def warnings_box(sentences: Sequence[str]) -> Html:
    """Return one box for all warnings: their number, and a list of them that is folded where they are many.

    Args:
        sentences: Warnings, of which several may be equal; an empty sequence gives no box.
    """
    return _box(sentences, "warning", "note")


def remarks(sentences: Sequence[str], name: str = "remark") -> Html:
    """Return one plain box for facts that are worth a word and spoil nothing, listed as warnings are.

    Args:
        sentences: Facts, of which several may be equal; an empty sequence gives no box.
        name: What one of them is called, in the singular.
    """
    return _box(sentences, name, "remarks")


def _box(sentences: Sequence[str], name: str, class_name: str) -> Html:
    counts = collections.Counter(sentences)
    items = [f"{sentence} ({count} times)" if count > 1 else sentence for sentence, count in counts.items()]
    if len(items) < 2:
        return joined(*(element("p", item, class_=class_name) for item in items))
    listed = element("ul", *(element("li", item) for item in items))
    title = f"{len(sentences)} {name}s"
    if len(items) <= _UNFOLDED:
        return element("div", element("b", title), listed, class_=class_name)
    # No script is needed to open it, and paper shows it open.
    return element("details", element("summary", element("b", title)), listed, class_=class_name)


def folded(title: str, *parts: str) -> Html:
    """Return parts behind a title that opens them, without a script; paper shows them open."""
    content = joined(*parts)
    return element("details", element("summary", element("b", title)), content, class_="folded") if content else Html()


def headlines(figures: Iterable[Headline]) -> Html:
    """Return large figures side by side; on a narrow screen they wrap."""
    cells = (
        element(
            "div",
            element("b", figure.value),
            figure.name,
            element("small", figure.remark) if figure.remark else "",
        )
        for figure in figures
    )
    return element("div", *cells, class_="figures")


def banner(kind: str, title: str, sentences: Iterable[str]) -> Html:
    """Return the banner that states the verdict of a page.

    Args:
        kind: Kind of the verdict: GOOD, BAD, DOUBT or NEUTRAL.
        title: Verdict in a few words.
        sentences: Reasons for the verdict.
    """
    return element("div", element("b", title), *map(paragraph, sentences), class_=f"banner {kind}")


def badge(text: str, kind: str) -> Html:
    """Return a word on a coloured ground; `kind` is one of a banner, INT8_BADGE or FLOAT_BADGE."""
    return element("span", text, class_=f"badge {kind}")


def faint(text: str) -> Html:
    """Return text within a line in a faint colour."""
    return element("span", text, class_="faint")


def code(text: str, whole: str = "") -> Html:
    """Return text in a monospaced font; the text `whole` is shown when it is pointed at."""
    return element("code", text, title=whole)


def color_key(color: str) -> Html:
    """Return a small square in a CSS colour, which stands in front of the meaning of the colour."""
    return element("i", class_="key", style=f"background:{color}")


def legend(entries: Sequence[tuple[str, str]], title: str = "") -> Html:
    """Return a legend that says what colours mean.

    Args:
        entries: Pairs of a CSS colour and its meaning.
        title: Word before the entries; "" shows none.
    """
    named = (joined(element("span", color_key(color), meaning), " ") for color, meaning in entries)
    return element("p", joined(element("b", title), " ") if title else "", *named, class_="legend")


def scrollable(content: Html) -> Html:
    """Return content that may be wider than the screen, in a box that scrolls by itself."""
    return element("div", content, class_="wide") if content else Html()


def breakable(name: str) -> Html:
    """Return a long name whose line may break behind each slash."""
    return Html(joined(name).replace("/", "/<wbr>"))
