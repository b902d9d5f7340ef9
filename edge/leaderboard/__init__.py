"""Which engine is fit for a site: measured engines side by side, and a need that they meet, miss, or leave open.

    runs            records of edge-bench                                   runs.py
    figures         what is read of a record, with its interval             figures.py
    rows            engines, each with the figures of its runs              rows.py
    need            what a site needs, and whether a figure holds it        need.py
    fronts          rows that no other beats in two figures at once         fronts.py
    leaderboard     all of it as one record                                 board.py, leaderboard_record.py

A figure that nobody measured is unknown, with the reason, and meets no need.
"""
