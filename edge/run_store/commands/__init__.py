"""The sub-commands of edge-bench about kept runs: list, export, import, delete and verify.

arguments.py   what they share: which database, which run
listing.py     list; exporting.py  export; importing.py  import; deleting.py  delete; verifying.py  verify
run_text.py    runs as a table of text or markdown
"""
