"""One function for each stage: from parsed arguments to what the screen says.

Stages never import each other; where one command needs several, they are chained here. They are
imported when they are called, so that ``--help`` does without torch.
"""
