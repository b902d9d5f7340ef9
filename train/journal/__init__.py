"""What is written down of a training while it runs: tables, curves, logs of other programs, times, and one line.

    entries.py        what the training tells: facts at its start, means of steps, one entry an epoch
    journal.py        Journal, which hands that on to its writers
    history_table.py  history.csv
    curves.py         curves.svg
    event_log.py      logs for TensorBoard
    mlflow_log.py     a run of MLflow
    step_clock.py     seconds a step, waiting, memory, energy; `durations.py` counts, `machine_use.py` asks the machine
    progress.py       the line that a terminal redraws and a log keeps
    comparison.py     several runs side by side; as a page or picture: comparison_page.py

Nothing in here decides anything of the training, and a log that cannot be written does not end one.
"""
