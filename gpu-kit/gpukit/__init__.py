"""What the kit's commands do. On the target it runs on Python 3.9 and newer, without any package; what it
starts there (the exporter, PyTorch, the trainer) needs 3.10 and packages, and the parts say which are missing.
"""
