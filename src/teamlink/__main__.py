"""The command line as ``python -m teamlink``."""

from teamlink.cli import app

if __name__ == "__main__":
    app(prog_name="teamlink")
