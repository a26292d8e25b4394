"""Section 3 of the paper, on images of digits, with the loss, the training loop and the report of the speech recipes.

An image is an utterance of one frame, whose bins are its pixels; a digit is a pdf.
"""
