"""``python -m fastin``."""

from fastin.cli import main

if __name__ == "__main__":
    main(prog_name="fastin")
