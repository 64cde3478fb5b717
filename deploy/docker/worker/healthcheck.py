"""`healthcheck.py FILE`: exits with 0 while this container is connected to NATS, else with 1 and a sentence.

A worker has no port to ask. It takes jobs only over its connection, which its client keeps alive by pings and closes
when they stay unanswered.
"""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from start_worker import read_variables

ESTABLISHED = '01'
NATS_PORT = 4222


def nats_port(file: Path) -> int:
    """Port in MILLRACE_NATS_URL of the environment, else of the file."""
    url = os.environ.get('MILLRACE_NATS_URL') or read_variables(file).get('MILLRACE_NATS_URL', '')
    return urlsplit(url).port or NATS_PORT


def connected_ports(table: str) -> set[int]:
    """Remote ports of the established connections in a table of the kernel (`/proc/net/tcp`)."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[2].rpartition(':')[2], 16) for row in rows if row[3] == ESTABLISHED}


def main() -> int:
    """The exit status."""
    port = nats_port(Path(sys.argv[1]))
    tables = [Path('/proc/net/tcp'), Path('/proc/net/tcp6')]
    ports = {found for table in tables if table.exists() for found in connected_ports(table.read_text('ascii'))}
    if port in ports:
        return 0
    print(f'No connection to NATS on port {port}.')
    return 1


if __name__ == '__main__':
    sys.exit(main())
