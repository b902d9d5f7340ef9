"""Scores of a segmentation against its label maps, by the rules of the official evaluations.

predicted_values.py  what the values of a predicted label map mean
counts.py            what is counted of one frame, and of a whole set
instances.py         objects that are told apart: the counts behind iIoU
boundaries.py        how well the edges of a class lie: boundary F1
scores.py            from counts to scores
prediction_files.py  predicted label maps in files, read and written
networks.py          what gives the logits of a frame; looks.py, windows.py, labelling.py  scales, flips and windows
folders.py           pictures, and label maps, of plain folders
measure.py           the whole way over a set; worst_frames.py  the frames that are labelled worst
record.py            the record; pictures.py, confusion_chart.py, page.py and text.py show it
"""
