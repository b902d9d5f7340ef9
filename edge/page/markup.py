"""HTML as a type of its own, so that text is escaped unless it is known to be HTML."""

from __future__ import annotations

import html
import re


class Html(str):
    """A text that is HTML already; every other text is escaped where it enters a page, so no caller can forget it."""

    __slots__ = ()


def as_html(content: str) -> Html:
    """Return HTML as it is, and any other text escaped."""
    return content if isinstance(content, Html) else Html(html.escape(content))


def html_to_text(content: str) -> str:
    """Return the text that a reader sees of HTML; any other text is returned as it is."""
    return html.unescape(re.sub(r"<[^>]*>", "", content)) if isinstance(content, Html) else content


def joined(*contents: str) -> Html:
    """Return the contents one behind the other, each escaped unless it is HTML."""
    return Html("".join(map(as_html, contents)))


def element(name: str, *contents: str, **attributes: str) -> Html:
    """Return an element with a start and an end tag.

    Args:
        name: Name of the tag.
        *contents: Contents of the element; text is escaped, HTML is not.
        **attributes: Name -> text, which is escaped. A trailing underscore of a name is left out (`class_`), any
            other is a hyphen (`data_head`), and an attribute whose text is empty is left out.
    """
    spelled = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(text)}"' for key, text in attributes.items() if text
    )
    return Html(f"<{name}{spelled}>{joined(*contents)}</{name}>")
