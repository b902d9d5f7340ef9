"""The frame of a page: head, style sheet and body, in one file that fetches nothing."""

from __future__ import annotations

from typing import Iterable, Mapping

from edge.page.markup import Html, as_html, element, joined

LIGHT = {
    "ink": "#1c2430",
    "faint": "#5a6675",
    "line": "#dde2ea",
    "paper": "#ffffff",
    "panel": "#f4f6f9",
    "shade": "#f0f2f6",
    "note": "#fff4d6",
    "note-edge": "#b5830f",
    "good": "#1f7a3e",
    "good-paper": "#e8f5ec",
    "bad": "#b52a24",
    "bad-paper": "#fdeceb",
    "neutral": "#566271",
    "neutral-paper": "#eef1f6",
    "doubt": "#7d5a00",
    "doubt-paper": "#fff4d6",
    "blue": "#2c5a9a",
    "blue-paper": "#e9f0fa",
    "orange": "#8f4b0a",
    "orange-paper": "#fcf0e2",
}
DARK = {
    "ink": "#e4e8ee",
    "faint": "#a3adba",
    "line": "#39424e",
    "paper": "#14181e",
    "panel": "#1d232b",
    "shade": "#212832",
    "note": "#3a3114",
    "note-edge": "#b98c1c",
    "good": "#7fd39a",
    "good-paper": "#16301f",
    "bad": "#ff9b93",
    "bad-paper": "#3a1b19",
    "neutral": "#a3adba",
    "neutral-paper": "#242b34",
    "doubt": "#e8c25a",
    "doubt-paper": "#3a3114",
    "blue": "#93bdf3",
    "blue-paper": "#1b2c44",
    "orange": "#f2ab68",
    "orange-paper": "#3a2814",
}
"""Name of a colour -> its value on a light page, which paper has too, and on a dark screen."""

READ_TOGETHER = (
    *(("ink", ground) for ground in ("paper", "panel", "shade", "note")),
    *(("ink", f"{kind}-paper") for kind in ("good", "bad", "neutral", "doubt")),
    *(("faint", ground) for ground in ("paper", "panel", "shade")),
    *((kind, f"{kind}-paper") for kind in ("good", "bad", "neutral", "doubt", "blue", "orange")),
    ("bad", "paper"),
)
"""Pairs of a text's colour and the colour of its ground, which all have a contrast of 4.5 to 1 or more.

Source: WCAG 2.2, success criterion 1.4.3.
"""


def _declared(colors: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colors.items())


# Shadows at the edges of .wide show that there is more to scroll to; covers of paper, which scroll along, hide them at
# either end.
_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media screen and (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1.5rem 1.25rem 3rem;
  color: var(--ink); background: var(--paper); overflow-wrap: break-word; -webkit-text-size-adjust: 100%; }
header { margin-bottom: 1.25rem; } h1 { font-size: 1.55rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
section { margin-top: 2rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h2 { font-size: 1.15rem; margin: 0 0 .6rem; } h3 { font-size: 1rem; margin: 1.4rem 0 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; } .faint, figcaption { color: var(--faint); } code { font-size: .9em; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.figures div { background: var(--panel); border-radius: .5rem; padding: .7rem .9rem; }
.figures b { font-size: 1.5rem; line-height: 1.3; display: block; font-variant-numeric: tabular-nums; }
.figures small { display: block; color: var(--faint); font-size: .85em; }
.banner { border-left: .4rem solid; border-radius: .4rem; padding: .7rem 1rem; margin: 1rem 0;
  overflow-wrap: anywhere; }
.banner b { font-size: 1.3rem; display: block; line-height: 1.3; } .banner p { color: var(--ink); }
.badge { border-radius: .6em; padding: .05em .5em; font-weight: 600; font-size: .92em; white-space: nowrap; }
.good { color: var(--good); background: var(--good-paper); border-color: currentColor; }
.bad { color: var(--bad); background: var(--bad-paper); border-color: currentColor; }
.neutral { color: var(--neutral); background: var(--neutral-paper); border-color: currentColor; }
.doubt { color: var(--doubt); background: var(--doubt-paper); border-color: currentColor; }
.blue { color: var(--blue); background: var(--blue-paper); }
.orange { color: var(--orange); background: var(--orange-paper); }
.note, .remarks { border-radius: .3rem; padding: .5rem .9rem; margin: .6rem 0; overflow-wrap: anywhere; }
.note { background: var(--note); border-left: .25rem solid var(--note-edge); }
.remarks { background: var(--panel); border-left: .25rem solid var(--line); }
summary { cursor: pointer; } .note ul, .remarks ul { margin: .3rem 0; padding-left: 1.2rem; }
.wide { overflow-x: auto; margin: .6rem 0; background-repeat: no-repeat;
  background-attachment: local, local, scroll, scroll; background-position: left, right, left, right;
  background-size: 2.5rem 100%, 2.5rem 100%, .7rem 100%, .7rem 100%;
  background-image: linear-gradient(90deg, var(--paper) 30%, transparent),
    linear-gradient(270deg, var(--paper) 30%, transparent), linear-gradient(90deg, #8885, transparent),
    linear-gradient(270deg, #8885, transparent); }
.chart { margin: .8rem 0 1rem; } .caption { font-weight: 600; font-size: .92em; margin: 0 0 .3rem; }
.chart > svg { width: 100%; height: auto; } .for-wide { max-width: 760px; }
.for-narrow { display: none; max-width: 28rem; }
svg { display: block; } svg text { fill: var(--ink); }
svg text.faint { fill: var(--faint); } svg text.limit { fill: var(--bad); } svg line.limit { stroke: var(--bad); }
svg .grid { stroke: var(--line); } svg .shade { fill: var(--shade); } svg .halo { stroke: var(--paper); }
svg text.on { fill: #fff; } svg text.in-cell { fill: #1c2430; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .3rem .75rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { color: var(--faint); font-weight: 600; } thead th { vertical-align: bottom; white-space: normal; }
tbody td, .facts td, .facts th { border-top: 1px solid var(--line); }
td:first-child, th:first-child, td.text, th.text, td.word, th.word, .facts td { text-align: left; }
td.number, th.number { text-align: right; }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 10rem; } td.text:first-child { min-width: 15rem; }
td.wrap { white-space: normal; min-width: 6rem; }
.facts { width: 100%; }
.facts td, .facts th { white-space: normal; overflow-wrap: anywhere; } .facts th { min-width: 6.5rem; width: 13rem; }
.dense { font-size: .9em; } .dense td, .dense th { padding: .2rem .55rem; }
.dense td.text { min-width: 8rem; } .dense td.text:first-child { min-width: 11rem; }
td.wrap .badge { white-space: normal; }
td.bars { padding-top: .5rem; padding-bottom: 0; } tr.sum td { font-weight: 600; border-top: 2px solid var(--faint); }
tbody tr:hover { background: var(--panel); }
.pictures { display: grid; gap: .9rem; margin: .6rem 0; }
.of-2 { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.of-3 { grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
figure { margin: 0; } img { width: 100%; height: auto; border-radius: .4rem; display: block; }
figcaption { font-size: .92em; margin-top: .25rem; overflow-wrap: anywhere; }
.legend span { display: inline-block; margin: 0 .9rem .1rem 0; overflow-wrap: anywhere; }
.key { display: inline-block; width: .85em; height: .85em; margin-right: .35em; border-radius: .15em;
  border: 1px solid #8886; vertical-align: -.08em; }
@media screen and (max-width: 72rem) {
  td.text, td.text:first-child, .dense td.text, .dense td.text:first-child { min-width: 8.2rem; }
}
@media screen and (max-width: 48rem) {
  body { padding: 1rem .9rem 2rem; } h1 { font-size: 1.3rem; } .figures b { font-size: 1.25rem; }
  .figures { grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; }
  .for-wide { display: none; } .for-narrow { display: block; }
  td, th { padding: .3rem .4rem; font-size: .92em; }
  .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; width: auto; text-align: left; }
  .facts th { padding-bottom: 0; } .facts td { border-top: 0; padding-top: 0; }
CARDS }
@media screen and (max-width: 72rem) { BROAD }
@media print {
  @page { margin: 12mm; }
  body { max-width: none; padding: 0; font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .wide { overflow: visible; background: none; } h2, h3, .caption, .legend, summary { break-after: avoid; }
  figure, tr, .banner, .figures, .chart { break-inside: avoid; } section { margin-top: 1rem; }
  .cards { width: 100%; font-size: 7.5pt; } .cards td, .cards th { padding: .1rem .25rem; white-space: normal; }
  .cards td.text, .cards td.text:first-child { min-width: 5rem; } .cards svg { max-width: 70px; height: auto; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .of-2 { grid-template-columns: repeat(2, 1fr); } .of-3 { grid-template-columns: repeat(3, 1fr); }
}
"""
# Rows as cards, for tables that are wider than a phone, and for those that are wider than a tablet.
_CARDS = """
  .cards, .cards tbody { display: block; }
  .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .cards tbody tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.5rem, 1fr)); padding: .45rem 0;
    border-top: 1px solid var(--line); }
  .cards tbody td { display: block; border: 0; padding: .1rem .3rem .1rem 0; text-align: left; min-width: 0;
    white-space: normal; font-size: .92em; }
  .cards tbody td:empty { display: none; } .cards tbody td.text { grid-column: 1 / -1; }
  .cards tbody td.word, .cards tbody td.wrap, .cards tbody td.bars { grid-column: span 2; }
  .cards tbody td.name { grid-column: 1 / -1; order: -1; font-weight: 600; }
  .cards tbody td.name::before { content: none; }
  .cards tbody td::before { content: attr(data-head); display: block; font-size: .85em; font-weight: 400;
    color: var(--faint); }
"""
_SHEET = (
    _STYLE.replace("LIGHT", _declared(LIGHT))
    .replace("DARK", _declared(DARK))
    .replace("CARDS", _CARDS)
    .replace("BROAD", _CARDS.replace(".cards", ".broad"))
)


def document(title: str, subtitle: str, parts: Iterable[str]) -> str:
    """Return a whole HTML page.

    Args:
        title: Title of the page, which is also its first heading.
        subtitle: Line below the title.
        parts: Parts of the body from top to bottom; text is escaped, HTML is not.
    """
    header = element("header", element("h1", title), element("p", subtitle, class_="faint"))
    body = Html("\n").join(map(as_html, [header, *parts]))
    return joined(
        Html('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        Html(f"<style>{_SHEET}</style></head>\n<body>\n{body}\n</body></html>\n"),
    )
