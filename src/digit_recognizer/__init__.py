"""A Kaggle Digit Recognizer pipeline: download, train, check, submit."""

import os

__version__ = "0.1.0"

# A phone's photo has 12 to 50. OpenCV checks a picture's header against this before it decodes it:
# a file of 25 kB can hold 100 million pixels. It reads the variable when it is first imported.
MAX_PICTURE_PIXELS = 64_000_000
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PICTURE_PIXELS)
