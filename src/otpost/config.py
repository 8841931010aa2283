"""The environment: which names there are, what each may hold, and what to do about one that makes no sense."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from otpost.address import Network, read_network
from otpost.services.keyring import KeyRing, KeyRingError

Role = Literal["api", "console", "messaging"]
LogLevel = Literal["debug", "info", "warning", "error"]
T = TypeVar("T")
D = TypeVar("D")

ROLES: Final[tuple[Role, ...]] = ("api", "console", "messaging")
LOG_LEVELS: Final[tuple[LogLevel, ...]] = ("debug", "info", "warning", "error")
DATABASE_FILE: Final = "otpost.db"
KEY_RING_FILE: Final = "keyring"
FILE_SUFFIX: Final = "_FILE"
PREFIX: Final = "OTPOST_"
PROOFS: Final = "OTPOST_PROVE_"
"""Names with this beginning belong to the project's own proofs and are left alone."""
LARGEST_FILE: Final = 65_536

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BLANK: Final = re.compile(r"[\x00-\x20\x7f]")
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
                               r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\.?")  # fmt: skip
_LISTEN: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")


_OF_A_SERVICE: Final = re.compile(
    r"(?P<service>OTPOST(_[A-Z0-9_]+?)??)_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://[^/]+")


class ConfigError(Exception):
    """The environment makes no sense; each of `problems` is a sentence that names the variable and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        more = len(problems) - 1
        super().__init__(problems[0] + (f" ({more} more: `otpost doctor` lists them.)" if more else ""))


class Listen(NamedTuple):
    """An address to listen on; `host` is a name or an address, IPv6 without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # all addresses
        return f"http://{Listen(here, self.port)}"


DEFAULT_LISTEN: Final = Listen("127.0.0.1", 8080)
DEFAULT_KEEP_ALIVE_S: Final = 75
LONGEST_KEEP_ALIVE_S: Final = 3_600
DEFAULT_LOG_LEVEL: Final[LogLevel] = "info"


@dataclass(frozen=True, slots=True)
class Config:
    """What the operator chose. Paths are absolute; `public_url` has no slash at its end."""

    data: Path
    database_url: str = field(repr=False)
    listen: Listen = DEFAULT_LISTEN
    public_url: str | None = None
    master_key: KeyRing | None = None
    roles: frozenset[Role] = frozenset(ROLES)
    outbound_allow: tuple[Network, ...] = ()
    outbound_proxy: str | None = field(default=None, repr=False)
    trusted_proxies: tuple[Network, ...] = ()
    metrics_listen: Listen | None = None
    log_level: LogLevel = "info"
    keep_alive_s: int = DEFAULT_KEEP_ALIVE_S

    @property
    def database_file(self) -> Path | None:
        """The embedded database's file; None with PostgreSQL."""
        if not self.database_url.startswith(_SQLITE):
            return None
        return Path(self.database_url.removeprefix(_SQLITE))

    @property
    def key_ring_file(self) -> Path:
        return self.data / KEY_RING_FILE


_SQLITE: Final = "sqlite:///"


class _Wrong(Exception):
    """What is wrong with a value, and what to do; the name is put before it."""


def _text(value: str) -> str:
    if _CONTROL.search(value):
        raise _Wrong("holds a line break or another control character: remove it.")
    return value


def _data(value: str) -> Path:
    if "?" in _text(value):
        raise _Wrong("holds a `?`, which the database's address cannot carry: choose another directory.")
    path = Path(value).expanduser().absolute()
    # Unlike Path's own, these say no of a place that may not be looked at; what is wrong there is told by who uses it.
    if os.path.exists(path) and not os.path.isdir(path):
        raise _Wrong(f"names {path}, which is not a directory: name a directory.")
    return path


def _database_url(value: str) -> str:
    scheme, divider, rest = _text(value).partition("://")
    if divider and scheme == "sqlite":
        if not rest.startswith("/") or len(rest) < 2 or "?" in rest:
            raise _Wrong("has to be like sqlite:////var/lib/otpost.db: three slashes, then the file's path.")
        path = Path(rest[1:]).expanduser().absolute()
        if os.path.isdir(path):
            raise _Wrong(f"names {path}, which is a directory: name the database's file.")
        return f"{_SQLITE}{path}"
    if divider and scheme in ("postgresql", "postgres"):
        try:
            parts = urlsplit(value)
            named = bool(parts.hostname) or "host=" in parts.query
            parts.port  # noqa: B018  # raises for a port that is none
        except ValueError:
            raise _Wrong("has a server or port that cannot be read: check what stands after the @.") from None
        if not named or len(parts.path) < 2 or parts.fragment or _BLANK.search(value):
            raise _Wrong(
                "has to name server and database, like postgresql://user:password@server:5432/otpost; "
                "special characters in the password are written as %40 and so on."
            )
        return f"postgresql://{rest}"
    plain, plus, _ = scheme.partition("+")
    if divider and plus and plain in ("sqlite", "postgresql", "postgres"):
        raise _Wrong(f"names a driver: Otpost brings its own; write {plain}:// in the place of {scheme}://.")
    raise _Wrong("has to begin with sqlite:/// or postgresql://.")


def _listen(value: str) -> Listen:
    match = _LISTEN.fullmatch(value)
    if match is None:
        raise _Wrong("has to be an address and a port, like 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080.")
    host, port = match["v6"] or match["host"], int(match["port"])
    if not 1 <= port <= 65535:
        raise _Wrong("has a port that is none: choose one from 1 to 65535.")
    try:
        literal = ip_address(host)
    except ValueError:
        literal = None
    if match["v6"] and (literal is None or literal.version != 6):
        raise _Wrong("has something in brackets that is no IPv6 address.")
    if literal is None and (not _HOST_NAME.fullmatch(host) or re.fullmatch(r"[0-9.]+", host)):
        raise _Wrong("has a host that is neither a name nor an address, like 127.0.0.1:8080.")
    return Listen(host, port)


def _public_url(value: str) -> str:
    example = "write it like https://otp.example.com"
    if _BLANK.search(value):
        raise _Wrong(f"holds a blank or a control character: {example}.")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _Wrong(f"is not an address: {example}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _Wrong(f"has to begin with https:// (or http://) and name a host: {example}.")
    if parts.username is not None or parts.password is not None:
        raise _Wrong(f"holds a user name or password: {example}.")
    if "?" in value or "#" in value:
        raise _Wrong(f"holds a query or a fragment: remove everything from {'?' if '?' in value else '#'} on.")
    if "_" in host:
        raise _Wrong("has an underscore in its host name, which Twilio refuses in callbacks (21609): use another name.")
    if ":" not in host and not _HOST_NAME.fullmatch(host):
        raise _Wrong(f"has a host that is neither a name nor an address: {example} (other scripts as xn--…).")
    return value.rstrip("/")


def _proxy(value: str) -> str:
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path in ("", "/")
        fine = fine and not parts.query and not parts.fragment and not _BLANK.search(value)
        parts.port  # noqa: B018  # raises for a port that is none
    except ValueError:
        fine = False
    if not fine:
        raise _Wrong("has to be like http://proxy.example.com:3128.")
    return value


def _networks(value: str) -> tuple[Network, ...]:
    networks = []
    for entry in _entries(value):
        try:
            networks.append(read_network(entry))
        except ValueError:
            try:
                meant = read_network(entry, strict=False)
            except ValueError:
                raise _Wrong(
                    f"names {entry!r}, which is not a network: write networks like 10.0.0.0/8,fd00::/8."
                ) from None
            raise _Wrong(f"names {entry}, whose address lies inside of the network: write {meant}.") from None
    return tuple(networks)


def _roles(value: str) -> frozenset[Role]:
    entries = _entries(value)
    for entry in entries:
        if entry not in ROLES:
            raise _Wrong(f"names {entry!r}: the roles are {', '.join(ROLES)}.")
    return frozenset(cast(list[Role], entries))


def _entries(value: str) -> list[str]:
    entries = [entry.strip() for entry in _text(value).split(",")]
    if not all(entries):
        raise _Wrong("has an empty place between its commas: remove it.")
    return entries


def _keep_alive_s(value: str) -> int:
    seconds = int(value) if re.fullmatch(r"[0-9]{1,5}", value) else 0
    if not 1 <= seconds <= LONGEST_KEEP_ALIVE_S:
        raise _Wrong(f"has to be a whole number of seconds from 1 to {LONGEST_KEEP_ALIVE_S}, like 75.")
    return seconds


def _log_level(value: str) -> LogLevel:
    level = value.lower()
    if level not in LOG_LEVELS:
        raise _Wrong(f"has to be one of {', '.join(LOG_LEVELS)}.")
    return level


def _master_key(value: str) -> KeyRing:
    lines = [line.strip() for line in value.replace(",", "\n").splitlines()]
    if any(":" not in line for line in lines if line and not line.startswith("#")):
        # A key without its id is not repeated, as the id of a wrong line is.
        raise _Wrong("is no key ring: it has to be like k1:BASE64, keys divided by commas.")
    try:
        return KeyRing.read(value)
    except KeyRingError as error:
        raise _Wrong(f"is no key ring: {error} It has to be like k1:BASE64, keys divided by commas.") from None


NAMES: Final = (
    "OTPOST_DATA",
    "OTPOST_DATABASE_URL",
    "OTPOST_LISTEN",
    "OTPOST_PUBLIC_URL",
    "OTPOST_MASTER_KEY",
    "OTPOST_ROLES",
    "OTPOST_OUTBOUND_ALLOW",
    "OTPOST_OUTBOUND_PROXY",
    "OTPOST_TRUSTED_PROXIES",
    "OTPOST_METRICS_LISTEN",
    "OTPOST_LOG_LEVEL",
    "OTPOST_KEEP_ALIVE_S",
)


class _Reading:
    """One pass over the environment, which gathers what is wrong."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def known(self) -> None:
        """Names that begin like ours and are none are mistakes of spelling, and say so."""
        names = [*NAMES, *(name + FILE_SUFFIX for name in NAMES)]
        for name in sorted(self._environment):
            if (
                name.startswith(PREFIX)
                and not name.startswith(PROOFS)
                and name not in names
                and not self._injected(name)
            ):
                near = difflib.get_close_matches(name, names, 1, 0.75)
                self.problems.append(
                    f"{name} is not a name that Otpost knows: {f'did you mean {near[0]}?' if near else 'remove it.'}"
                )

    def _injected(self, name: str) -> bool:
        """Whether Kubernetes has put it there, which tells every pod of each service: of `otpost` in OTPOST_PORT."""
        parts = _OF_A_SERVICE.fullmatch(name)
        if parts is None:
            return False
        of_service = parts["service"]
        return f"{of_service}_SERVICE_HOST" in self._environment or bool(
            _SERVICE_ADDRESS.fullmatch(self._environment.get(f"{of_service}_PORT", ""))
        )

    def take(self, name: str, read: Callable[[str], T], default: D) -> T | D:
        given = [entry for entry in (name, name + FILE_SUFFIX) if entry in self._environment]
        if not given:
            return default
        if len(given) > 1:
            self.problems.append(f"{name} and {name}{FILE_SUFFIX} are both set: unset one of them.")
            return default
        try:
            value = self._environment[given[0]]
            if given[0] != name:
                value = _content(value)
            if not value.strip():
                raise _Wrong("is empty: give it a value, or unset it.")
            return read(value.strip())
        except _Wrong as wrong:
            self.problems.append(f"{given[0]} {wrong}")
            return default


def _content(name: str) -> str:
    if not name.strip():
        return ""
    try:
        with Path(name).expanduser().open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            raise _Wrong(f"names {name}, which is larger than any value: name the right file.")
        return raw.decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it holds no text"
        raise _Wrong(f"names {name!r}, which cannot be read ({why}): name a file that holds the value.") from None


def read(environment: Mapping[str, str]) -> Config:
    """The configuration from the names of an environment; ConfigError with all that is wrong with it."""
    reading = _Reading(environment)
    reading.known()
    data = reading.take("OTPOST_DATA", _data, Path("otpost-data")).absolute()
    listen = reading.take("OTPOST_LISTEN", _listen, DEFAULT_LISTEN)
    metrics_listen = reading.take("OTPOST_METRICS_LISTEN", _listen, None)
    config = Config(
        data=data,
        database_url=reading.take("OTPOST_DATABASE_URL", _database_url, None) or f"{_SQLITE}{data / DATABASE_FILE}",
        listen=listen,
        public_url=reading.take("OTPOST_PUBLIC_URL", _public_url, None),
        master_key=reading.take("OTPOST_MASTER_KEY", _master_key, None),
        roles=reading.take("OTPOST_ROLES", _roles, frozenset(ROLES)),
        outbound_allow=reading.take("OTPOST_OUTBOUND_ALLOW", _networks, ()),
        outbound_proxy=reading.take("OTPOST_OUTBOUND_PROXY", _proxy, None),
        trusted_proxies=reading.take("OTPOST_TRUSTED_PROXIES", _networks, ()),
        metrics_listen=metrics_listen,
        log_level=reading.take("OTPOST_LOG_LEVEL", _log_level, DEFAULT_LOG_LEVEL),
        keep_alive_s=reading.take("OTPOST_KEEP_ALIVE_S", _keep_alive_s, DEFAULT_KEEP_ALIVE_S),
    )
    if listen == metrics_listen:
        reading.problems.append(f"OTPOST_METRICS_LISTEN is the same as OTPOST_LISTEN ({listen}): choose another port.")
    if reading.problems:
        raise ConfigError(reading.problems)
    return config
