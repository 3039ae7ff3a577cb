"""Makes data sets of video tokens in the layouts that trainers read."""

__version__ = "0.1.0"
