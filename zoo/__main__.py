"""`python -m zoo` runs the command `zoo`."""

from zoo.commands import main

if __name__ == "__main__":
    main(prog_name="zoo")
