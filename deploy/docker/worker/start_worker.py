"""`start_worker.py FILE MODULE`: runs a module as the main program, with the variables of FILE.

FILE holds `NAME=value` a line, as `infra/compose.yaml` has it made with the passwords of this deployment. What is set
already stays, and no file is no fault: elsewhere everything comes by the environment.
"""

import os
import runpy
import sys
from pathlib import Path


def read_variables(file: Path) -> dict[str, str]:
    """Variables of the file by name, none without it; empty lines and those that begin with `#` are left out.

    Raises:
        ValueError: for a line without `=`; the message names its number and not its text.
    """
    variables: dict[str, str] = {}
    if not file.exists():
        return variables
    for number, line in enumerate(file.read_text('utf-8').splitlines(), start=1):
        if not line.strip() or line.startswith('#'):
            continue
        name, separator, value = line.partition('=')
        if not separator:
            raise ValueError(f'{file}: line {number} is not NAME=value.')
        variables[name.strip()] = value.strip()
    return variables


def main() -> None:
    """Sets the variables, then becomes the module."""
    file, module = sys.argv[1:3]
    for name, value in read_variables(Path(file)).items():
        os.environ.setdefault(name, value)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main()
