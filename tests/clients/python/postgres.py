"""A PostgreSQL of one test: a cluster of the installed programs, with an empty data directory."""

import os
import pwd
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from server import TIMEOUT_SECONDS

VERSIONS = Path("/usr/lib/postgresql")
PROGRAMS = max(VERSIONS.iterdir(), key=lambda version: int(version.name)) / "bin"


class Postgres:
    """One cluster, which runs as long as it is entered."""

    def __enter__(self) -> "Postgres":
        self._folder = tempfile.TemporaryDirectory(prefix="postgres-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        # It does not run as root: Debian's package makes a user for it.
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(self._folder.name, entry.pw_uid, entry.pw_gid)
        data = f"{self._folder.name}/data"
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "-D", data).wait()
        self._start()
        return self

    def __exit__(self, *_error: object) -> None:
        # Its own signal for an immediate end.
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        self._folder.cleanup()

    def restart(self) -> None:
        """Ends all sessions, and starts it again on its port."""
        # Its own signal for an end that waits for no client.
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self._start()

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def sql(self, statements: str) -> None:
        """Runs statements."""
        ran = self._psql(statements)
        assert ran.returncode == 0, ran.stderr

    def _start(self) -> None:
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-k", self._folder.name]
        settings = ["-c", "wal_level=logical", "-c", "fsync=off"]
        self._process = self._run("postgres", "-D", f"{self._folder.name}/data", *address, *settings)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._psql("SELECT 1").returncode != 0:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.05)

    def _psql(self, statements: str) -> subprocess.CompletedProcess[str]:
        arguments = [str(PROGRAMS / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", self.url]
        return subprocess.run(arguments, input=statements, capture_output=True, text=True, check=False)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(PROGRAMS / program), *arguments]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, user=self._user, cwd="/", stdout=quiet, stderr=quiet)
