"""Runs of edge-bench in one SQLite file: every parameter, every frame and every sample, written as they come.

tables.py        the tables, their schema number, and what older ones are changed by
connection.py    a connection to the file, and its errors as one line
rows.py          frames and samples of a machine as rows, and back
store.py         the file as a whole: runs that begin, that are found, that are deleted
recording.py     the thread that writes a run while it is measured
stored_run.py    a run that is read back, from the file or from a record.json
recomputation.py the figures of a record, computed anew from its frames and samples

The tables are described in docs/runs-database.md, for who reads them with other programs.
"""
