from __future__ import annotations

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest

from otpost import config
from otpost.config import ConfigError, Listen

KEY = base64.b64encode(bytes(range(32))).decode()


def problems(**environment: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config.read(environment)
    return caught.value.problems


def test_without_any_name_everything_has_its_default() -> None:
    chosen = config.read({"PATH": "/bin"})
    assert chosen.data == Path.cwd() / "otpost-data"
    assert chosen.database_file == Path.cwd() / "otpost-data" / "otpost.db"
    assert chosen.database_url == f"sqlite:///{Path.cwd()}/otpost-data/otpost.db"
    assert chosen.key_ring_file == Path.cwd() / "otpost-data" / "keyring"
    assert chosen.listen == Listen("127.0.0.1", 8080)
    assert chosen.roles == {"api", "console", "messaging"}
    assert chosen.log_level == "info"
    assert (chosen.public_url, chosen.master_key, chosen.metrics_listen, chosen.outbound_proxy) == (None,) * 4
    assert (chosen.outbound_allow, chosen.trusted_proxies) == ((), ())


def test_every_name_is_read(tmp_path: Path) -> None:
    chosen = config.read(
        {
            "OTPOST_DATA": str(tmp_path),
            "OTPOST_DATABASE_URL": "postgres://otpost:s%40cret@db:5432/otpost",
            "OTPOST_LISTEN": "[::1]:9000",
            "OTPOST_PUBLIC_URL": "https://otp.example.com/prefix/",
            "OTPOST_MASTER_KEY": f"k2:{KEY}",
            "OTPOST_ROLES": "api, messaging",
            "OTPOST_OUTBOUND_ALLOW": "10.0.0.0/8,fd00::/8",
            "OTPOST_OUTBOUND_PROXY": "http://proxy.example.com:3128",
            "OTPOST_TRUSTED_PROXIES": "127.0.0.1",
            "OTPOST_METRICS_LISTEN": "127.0.0.1:9100",
            "OTPOST_LOG_LEVEL": "Warning",
            "OTPOST_KEEP_ALIVE_S": " 620 ",
        }
    )
    assert chosen.data == tmp_path
    assert chosen.database_file is None
    assert chosen.database_url == "postgresql://otpost:s%40cret@db:5432/otpost"
    assert chosen.listen == Listen("::1", 9000)
    assert chosen.public_url == "https://otp.example.com/prefix"
    assert chosen.master_key is not None
    assert chosen.master_key.ids == ("k2",)
    assert chosen.roles == {"api", "messaging"}
    assert chosen.outbound_allow == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert chosen.outbound_proxy == "http://proxy.example.com:3128"
    assert chosen.trusted_proxies == (ip_network("127.0.0.1/32"),)
    assert chosen.keep_alive_s == 620
    assert chosen.metrics_listen == Listen("127.0.0.1", 9100)
    assert chosen.log_level == "warning"


def test_a_configuration_does_not_print_its_credentials() -> None:
    shown = repr(
        config.read(
            {
                "OTPOST_DATABASE_URL": "postgresql://otpost:marker1@db/otpost",
                "OTPOST_MASTER_KEY": f"k2:{KEY}",
                "OTPOST_OUTBOUND_PROXY": "http://me:marker2@proxy:3128",
            }
        )
    )
    assert "marker" not in shown
    assert KEY not in shown
    assert "KeyRing(k2)" in shown


@pytest.mark.parametrize(
    ("value", "file"),
    [
        ("sqlite:////var/lib/otpost/o.db", Path("/var/lib/otpost/o.db")),
        ("sqlite:///beside/o.db", Path.cwd() / "beside" / "o.db"),
    ],
)
def test_an_embedded_database_may_lie_elsewhere(value: str, file: Path) -> None:
    assert config.read({"OTPOST_DATABASE_URL": value}).database_file == file


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_text(f"k2:{KEY}\nk1:{KEY}\n")
    url = tmp_path / "url"
    url.write_text("https://otp.example.com\n")
    chosen = config.read({"OTPOST_MASTER_KEY_FILE": str(ring), "OTPOST_PUBLIC_URL_FILE": str(url)})
    assert chosen.master_key is not None
    assert chosen.master_key.ids == ("k2", "k1")
    assert chosen.public_url == "https://otp.example.com"


def test_a_name_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    assert problems(OTPOST_LISTEN="127.0.0.1:1", OTPOST_LISTEN_FILE=str(tmp_path / "x")) == (
        "OTPOST_LISTEN and OTPOST_LISTEN_FILE are both set: unset one of them.",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory): name a file that holds the value."),
        (b"\xff\xfe", "cannot be read (it holds no text): name a file that holds the value."),
        (b"x" * 65_537, "which is larger than any value: name the right file."),
        (b" \n", "OTPOST_LISTEN_FILE is empty: give it a value, or unset it."),
        (b"nonsense", "OTPOST_LISTEN_FILE has to be an address and a port, like 127.0.0.1:8080"),
    ],
)
def test_a_file_without_a_value_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "value"
    if content is not None:
        file.write_bytes(content)
    (problem,) = problems(OTPOST_LISTEN_FILE=str(file))
    assert said in problem
    assert problem.startswith("OTPOST_LISTEN_FILE ")


@pytest.mark.parametrize("name", config.NAMES)
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_is_refused(name: str, value: str) -> None:
    assert problems(**{name: value}) == (f"{name} is empty: give it a value, or unset it.",)


def test_a_misspelt_name_is_refused_and_the_right_one_told() -> None:
    assert problems(OTPOST_LISTN="x", OTPOST_WHATEVER="x") == (
        "OTPOST_LISTN is not a name that Otpost knows: did you mean OTPOST_LISTEN?",
        "OTPOST_WHATEVER is not a name that Otpost knows: remove it.",
    )


def test_what_kubernetes_says_of_services_called_like_otpost_is_passed_over() -> None:
    for service in ("OTPOST", "OTPOST_DB"):
        injected = {
            f"{service}_SERVICE_HOST": "10.0.171.239",
            f"{service}_SERVICE_PORT": "8080",
            f"{service}_SERVICE_PORT_HTTP": "8080",
            f"{service}_PORT": "tcp://10.0.171.239:8080",
            f"{service}_PORT_8080_TCP": "tcp://10.0.171.239:8080",
            f"{service}_PORT_8080_TCP_PROTO": "tcp",
            f"{service}_PORT_8080_TCP_PORT": "8080",
            f"{service}_PORT_8080_TCP_ADDR": "10.0.171.239",
        }
        assert config.read(injected) == config.read({})
        only = f"{service}_PORT"
        assert config.read({only: injected[only]}) == config.read({})


def test_a_port_of_ones_own_is_no_service_of_kubernetes() -> None:
    assert problems(OTPOST_PORT="8080")[0].startswith("OTPOST_PORT is not a name that Otpost knows")
    assert problems(OTPOST_SERVICE_PORT="8080")[0].startswith("OTPOST_SERVICE_PORT is not a name that Otpost knows")


def test_names_of_the_proofs_are_left_alone() -> None:
    assert config.read({"OTPOST_PROVE_SCALE": "large"}).log_level == "info"


def test_all_that_is_wrong_is_gathered() -> None:
    with pytest.raises(ConfigError) as caught:
        config.read({"OTPOST_ROLES": "x", "OTPOST_LOG_LEVEL": "x", "OTPOST_LISTEN": "x"})
    assert len(caught.value.problems) == 3
    assert str(caught.value).endswith(" (2 more: `otpost doctor` lists them.)")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTPOST_DATA", "/dev/null", "names /dev/null, which is not a directory"),
        ("OTPOST_DATA", "/tmp/a?b", "holds a `?`"),
        ("OTPOST_DATA", "/tmp/a\nb", "holds a line break"),
        ("OTPOST_DATABASE_URL", "postgresql+asyncpg://db/otpost", "write postgresql:// in the place of postgresql+"),
        ("OTPOST_DATABASE_URL", "postgres+psycopg2://db/otpost", "write postgres:// in the place of postgres+psycopg2"),
        ("OTPOST_DATABASE_URL", "sqlite+aiosqlite:////tmp/a.db", "Otpost brings its own; write sqlite:// in the"),
        ("OTPOST_DATABASE_URL", "mysql+pymysql://db/otpost", "has to begin with sqlite:/// or postgresql://."),
        ("OTPOST_DATABASE_URL", "mysql://db/otpost", "has to begin with sqlite:/// or postgresql://."),
        ("OTPOST_DATABASE_URL", "otpost.db", "has to begin with sqlite:/// or postgresql://."),
        ("OTPOST_DATABASE_URL", "sqlite://otpost.db", "three slashes, then the file's path."),
        ("OTPOST_DATABASE_URL", "sqlite:///", "three slashes, then the file's path."),
        ("OTPOST_DATABASE_URL", "sqlite:////tmp", "names /tmp, which is a directory"),
        ("OTPOST_DATABASE_URL", "postgresql://db", "has to name server and database"),
        ("OTPOST_DATABASE_URL", "postgresql:///otpost", "has to name server and database"),
        ("OTPOST_DATABASE_URL", "postgresql://u:p#x@db/otpost", "has a server or port that cannot be read"),
        ("OTPOST_DATABASE_URL", "postgresql://db:port/otpost", "has a server or port that cannot be read"),
        ("OTPOST_LISTEN", "8080", "has to be an address and a port"),
        ("OTPOST_LISTEN", ":8080", "has to be an address and a port"),
        ("OTPOST_LISTEN", "::1:8080", "has to be an address and a port"),
        ("OTPOST_LISTEN", "127.0.0.1:0", "has a port that is none"),
        ("OTPOST_LISTEN", "127.0.0.1:65536", "has a port that is none"),
        ("OTPOST_LISTEN", "[127.0.0.1]:80", "is no IPv6 address"),
        ("OTPOST_LISTEN", "[zz::1]:80", "is no IPv6 address"),
        ("OTPOST_LISTEN", "127.0.0.256:80", "neither a name nor an address"),
        ("OTPOST_LISTEN", "http://127.0.0.1:80", "has to be an address and a port"),
        ("OTPOST_LISTEN", "my_host:80", "neither a name nor an address"),
        ("OTPOST_METRICS_LISTEN", "9100", "has to be an address and a port"),
        ("OTPOST_PUBLIC_URL", "otp.example.com", "has to begin with https://"),
        ("OTPOST_PUBLIC_URL", "ftp://otp.example.com", "has to begin with https://"),
        ("OTPOST_PUBLIC_URL", "https://", "has to begin with https:// (or http://) and name a host"),
        ("OTPOST_PUBLIC_URL", "https://otp.example.com/?a=b", "remove everything from ? on"),
        ("OTPOST_PUBLIC_URL", "https://otp.example.com/#x", "remove everything from # on"),
        ("OTPOST_PUBLIC_URL", "https://me:you@otp.example.com", "holds a user name or password"),
        ("OTPOST_PUBLIC_URL", "https://my_otp.example.com", "has an underscore in its host name"),
        ("OTPOST_PUBLIC_URL", "https://otp..example.com", "neither a name nor an address"),
        ("OTPOST_PUBLIC_URL", "https://otp.example.com:port", "is not an address"),
        ("OTPOST_PUBLIC_URL", "https://otp example.com", "holds a blank"),
        ("OTPOST_PUBLIC_URL", "https://[::1", "is not an address"),
        ("OTPOST_MASTER_KEY", "ab" * 16, "is no key ring: it has to be like k1:BASE64"),
        ("OTPOST_MASTER_KEY", f"k 1:{KEY}", "is no key ring"),
        ("OTPOST_MASTER_KEY", "k1:c2hvcnQ=", "is no key ring: The key 'k1' of the key ring is not 32 bytes in base64."),
        ("OTPOST_MASTER_KEY", f"k1:{KEY},k1:{KEY}", "has two keys with the id 'k1'"),
        ("OTPOST_ROLES", "api,web", "names 'web': the roles are api, console, messaging."),
        ("OTPOST_ROLES", "api,", "has an empty place between its commas"),
        ("OTPOST_OUTBOUND_ALLOW", "example.com", "names 'example.com', which is not a network"),
        ("OTPOST_OUTBOUND_ALLOW", "10.0.0.1/8", "write 10.0.0.0/8."),
        ("OTPOST_TRUSTED_PROXIES", "10.0.0.0/33", "is not a network"),
        ("OTPOST_OUTBOUND_PROXY", "proxy:3128", "has to be like http://proxy.example.com:3128."),
        ("OTPOST_OUTBOUND_PROXY", "http://proxy:x", "has to be like http://proxy.example.com:3128."),
        ("OTPOST_OUTBOUND_PROXY", "socks5://proxy:1080", "has to be like http://proxy.example.com:3128."),
        *[
            ("OTPOST_KEEP_ALIVE_S", value, "has to be a whole number of seconds from 1 to 3600, like 75.")
            for value in ("0", "-1", "3601", "7.5", "75s", "٧٥", "9" * 5000)
        ],
        ("OTPOST_LOG_LEVEL", "verbose", "has to be one of debug, info, warning, error."),
    ],
)
def test_nonsense_is_refused_by_a_sentence_that_names_it(name: str, value: str, said: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name} ")
    assert said in problem
    assert "\n" not in problem


def test_metrics_need_an_address_of_their_own() -> None:
    assert problems(OTPOST_METRICS_LISTEN="127.0.0.1:8080") == (
        "OTPOST_METRICS_LISTEN is the same as OTPOST_LISTEN (127.0.0.1:8080): choose another port.",
    )


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("localhost:81", "http://localhost:81"),
    ],
)
def test_an_address_for_all_is_shown_as_one_that_a_browser_takes(listen: str, url: str) -> None:
    assert config.read({"OTPOST_LISTEN": listen}).listen.url == url
