"""``python -m fastin`` and the console script."""


def main() -> None:
    """Runs the command line; an interrupt before it is loaded has the status of any other."""
    import sys

    try:
        from fastin.cli import main as command

        command(prog_name="fastin")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
