"""Which commands there are: the arguments of each, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final, NamedTuple

SUMMARY: Final = "One-time passcodes by SMS. Settings come from the environment: OTPOST_DATA, OTPOST_LISTEN and others."
GROUPS: Final = {
    "key": "API keys.",
    "user": "People with the console.",
    "number": "Recipients' numbers.",
    "tenant": "Organisations that share this installation.",
}


class Argument(NamedTuple):
    """An option, whose name begins with two dashes, or in capitals a value that is told by its place."""

    name: str
    help: str
    default: str | None = None
    needed: bool = False
    is_flag: bool = False
    """A flag has no value: it is there or not."""
    choices: tuple[str, ...] = ()

    @property
    def is_option(self) -> bool:
        return self.name.startswith("--")

    @property
    def is_required(self) -> bool:
        return self.needed or not self.is_option

    @property
    def parameter(self) -> str:
        """The name under which the command's function takes it: `password_stdin` for `--password-stdin`."""
        return self.name.removeprefix("--").replace("-", "_").lower()


class Command(NamedTuple):
    """A command by its words."""

    words: str
    help: str
    function: str
    """A module of this package and what in it runs the command: `keys:create_key`."""
    arguments: tuple[Argument, ...] = ()
    takes_all: bool = False
    """All that follows the words is handed on as it stands, as `words`."""

    def load(self) -> Callable[..., None]:
        """The function, whose module is loaded now."""
        module, _, name = self.function.partition(":")
        function: Callable[..., None] = getattr(import_module(f"otpost.cli.{module}"), name)
        return function


_TENANT: Final = Argument("--tenant", "The tenant's SID (AC…); else the first one.")
_NUMBER: Final = Argument("NUMBER", "A phone number such as +15005550006.")
_SCOPES: Final = ("verify", "admin")

COMMANDS: Final = (
    Command("serve", "Run the service: API, console and messaging service, as OTPOST_ROLES says.", "service:serve"),
    Command(
        "demo",
        "Show a whole verification in this terminal, with the sandbox phone in place of a real one.",
        "service:demo",
        (Argument("--exit", "End once the code is checked.", is_flag=True),),
    ),
    Command(
        "key create",
        "Make an API key and print its SID and secret; the secret is shown this once.",
        "keys:create_key",
        (
            Argument(
                "--scope",
                "verify: one application; admin: everything of the tenant.",
                needed=True,
                choices=_SCOPES,
            ),
            Argument("--application", "For scope verify: the application's SID (VA…)."),
            Argument("--name", "What the key is for.", default=""),
            _TENANT,
        ),
    ),
    Command(
        "key list",
        "List the keys, newest first: SID, state, scope, who made each and when, last use, name.",
        "keys:list_keys",
        (
            Argument("--scope", "Only keys of this scope.", choices=_SCOPES),
            Argument("--application", "Only keys of this application (VA…)."),
            _TENANT,
        ),
    ),
    Command(
        "key revoke",
        "End a key at once, on every node.",
        "keys:revoke_key",
        (Argument("KEY", "The key's SID (SK…)."), _TENANT),
    ),
    Command(
        "user create",
        "Make a user of the console.",
        "users:create_user",
        (
            Argument("--name", "The name that the person signs in with.", needed=True),
            Argument("--password-stdin", "Read the password from standard input.", is_flag=True),
            Argument("--link", "Print a one-time link that lets the person choose it.", is_flag=True),
            _TENANT,
        ),
    ),
    Command(
        "user link",
        "Print a one-time link with which a user chooses a new password and is signed in.",
        "users:link_user",
        (Argument("NAME", "The name that the person signs in with."), _TENANT),
    ),
    Command(
        "number unlock",
        "Lift the lock of a number for which too many wrong codes were tried.",
        "numbers:unlock",
        (_NUMBER, _TENANT),
    ),
    Command(
        "tenant create",
        "Make a further tenant and print its SID.",
        "tenants:create_tenant",
        (Argument("NAME", "The tenant's name."),),
    ),
    Command("migrate", "Bring the database to this version's tables.", "maintenance:migrate"),
    Command(
        "route",
        "Tell what the saved sender policy does with a number, and why; sends nothing.",
        "numbers:route",
        (_NUMBER, _TENANT),
    ),
    Command(
        "send-test",
        "Send a text through the saved sender policy and the outbox, and tell what became of it.",
        "numbers:send_test",
        (_NUMBER, Argument("--text", "What to send.", default="This is a test message from Otpost."), _TENANT),
    ),
    Command(
        "doctor",
        "Check configuration, key ring, database and sender policy, each with a remedy.",
        "maintenance:doctor",
    ),
    Command("bench", "Run the benchmark suite of a source checkout.", "maintenance:bench", takes_all=True),
)
