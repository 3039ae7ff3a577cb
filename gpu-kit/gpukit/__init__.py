"""What the kit's commands do. Everything here runs on Python 3.9 and newer, without any package."""
