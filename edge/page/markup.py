"""HTML as a type of its own, so that text is escaped unless it is known to be HTML."""

from __future__ import annotations

import html


class Html(str):
    """Text that is HTML already. Every other text is escaped where it enters a page, so no caller can forget to."""

    __slots__ = ()


def as_html(content: str) -> Html:
    """Return HTML as it is, and any other text escaped."""
    return content if isinstance(content, Html) else Html(html.escape(content))


def joined(*contents: str) -> Html:
    """Return the contents one behind the other, each escaped unless it is HTML."""
    return Html("".join(map(as_html, contents)))


def element(name: str, *contents: str, **attributes: str) -> Html:
    """Return an element with a start and an end tag.

    Args:
        name: the name of the tag.
        contents: what stands in the element; text is escaped, HTML is not.
        attributes: name -> text, which is escaped. A trailing underscore is left out (`class_`), and an attribute
            whose text is empty is left out too.
    """
    spelled = "".join(f' {key.rstrip("_")}="{html.escape(text)}"' for key, text in attributes.items() if text)
    return Html(f"<{name}{spelled}>{joined(*contents)}</{name}>")
