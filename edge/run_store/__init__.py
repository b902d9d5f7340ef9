"""Runs of edge-bench in one SQLite file: every parameter, every frame and every sample, written as they come.

tables.py         the tables, their schema number, and what older ones are changed by
connection.py     a connection to the file, and its errors as one line
rows.py           frames and samples of a machine as rows, and back; run_columns.py  what a row of `runs` says
store.py          the file as a whole: runs that begin, that are found, that are deleted
recording.py      the thread that writes a run while it is measured
repair.py         a damaged file is put aside and made anew
stored_run.py     a run that is read back, from the file or from a record.json
recomputation.py  figures of a record, computed anew from its frames and samples (power: replayed_power.py)
record_series.py  lists of a record that frames and samples give again
insertion.py      runs of elsewhere enter; sample_files.py  frames and samples as CSV and Parquet
bundle.py         one run in one file; verification.py  whether it holds
commands/         list, export, import, delete, verify

The tables are described in docs/runs-database.md, for who reads them with other programs.
"""
