"""What a dataset on disk holds, whole: `python -m edge.datasets check`.

splits.py    reads every split and counts frames, classes and what is wrong
text.py      the lines that the command prints
picture.py   twelve frames with their labels painted, and a legend
"""
