"""What AWS's clients find in this environment, and whether it leads them to the server."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # typeshed lacks it

from mooring.cli.credentials import left_by
from mooring.cli.doctor.findings import Finding, Scene, address, fail, ok, warn

LEAD = 'eval "$(mooring env)"'
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_YES = ("true", "1", "yes", "on")


def endpoint_url(scene: Scene) -> Iterable[Finding]:
    """The variable that sends SDKs to Mooring."""
    name = "AWS_ENDPOINT_URL"
    given = scene.environ.get(name) or _profile(scene.environ).get("endpoint_url")
    where = f"{name} is" if scene.environ.get(name) else "the profile's endpoint_url is"
    if not given:
        yield warn("endpoint url", f"{name} is not set: SDKs call AWS itself", LEAD)
    elif scene.url is None:
        yield warn("endpoint url", f"{where} {address(given)}, and no server runs", "`mooring serve`")
    elif _same(given, scene.url):
        yield ok("endpoint url", f"{where} this server's")
    else:
        yield fail("endpoint url", f"{where} {address(given)}, the server is at {address(scene.url)}", LEAD)


def ignored(scene: Scene) -> Iterable[Finding]:
    """The switch that makes SDKs ignore it."""
    name = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    if scene.environ.get(name, "").lower() in _YES:
        yield fail("endpoint url", f"{name} is set: SDKs ignore AWS_ENDPOINT_URL", f"unset {name}")
    elif _profile(scene.environ).get("ignore_configured_endpoint_urls", "").lower() in _YES:
        text = "the profile has ignore_configured_endpoint_urls: SDKs ignore AWS_ENDPOINT_URL"
        yield fail("endpoint url", text, f"take it out of {_config_file(scene.environ)}")


def of_services(scene: Scene) -> Iterable[Finding]:
    """Variables for single services come before AWS_ENDPOINT_URL."""
    for name, value in sorted(scene.environ.items()):
        service = name.removeprefix("AWS_ENDPOINT_URL_")
        if service == name or not value or (scene.url is not None and _same(value, scene.url)):
            continue
        text = f"{name} is {address(value)}: calls of that service go there"
        if service == "S3":
            yield warn("endpoint url", text, "right if MOORING_OBJECTS_ENDPOINT_URL is the same, else unset it")
        else:
            yield warn("endpoint url", text, f"unset {name} if that service is meant to be Mooring's")


def issuers(scene: Scene) -> Iterable[Finding]:
    """SDKs must be told of a certificate that nobody signed whom they know."""
    if not ((scene.status or {}).get("tls") or {}).get("anchored") or scene.paths is None:
        return
    name = "AWS_CA_BUNDLE"
    bundle = scene.environ.get(name)
    try:
        known = bundle is not None and scene.paths.certificate.read_text().strip() in Path(bundle).read_text()
    except OSError as error:
        yield fail("certificate", f"{name} is {bundle}: {error.strerror}", LEAD)
        return
    if known:
        yield ok("certificate", f"{name} has this server's")
    else:
        yield fail("certificate", f"{name} does not name this server's: SDKs refuse to talk to it", LEAD)


def proxies(scene: Scene) -> Iterable[Finding]:
    """A proxy cannot reach this machine's loopback."""
    given = {name: value for name, value in scene.environ.items() if name.lower() in PROXIES and value}
    if not given:
        yield ok("proxies", "none set")
        return
    excepted = scene.environ.get("no_proxy") or scene.environ.get("NO_PROXY") or ""
    host = (urlsplit(scene.url).hostname if scene.url else None) or "127.0.0.1"
    names = ", ".join(sorted(given))
    if proxy_bypass_environment(host, {"no": excepted}):
        yield ok("proxies", f"{names} set, and NO_PROXY excepts {host}")
    else:
        yield fail("proxies", f"{names} set without {host} in NO_PROXY: SDKs ask the proxy for it", LEAD)


def profile(scene: Scene) -> Iterable[Finding]:
    """A profile that is named must be there."""
    name = scene.environ.get("AWS_PROFILE") or scene.environ.get("AWS_DEFAULT_PROFILE")
    if not name:
        yield ok("profile", "none named")
        return
    if name == "default" or name in _profiles(scene.environ):
        yield ok("profile", f"AWS_PROFILE is {name}")
    else:
        text = f"AWS_PROFILE is {name}, which is in no configuration file: boto3 refuses to start"
        yield fail("profile", text, "unset AWS_PROFILE, or name one that is there")


def region(scene: Scene) -> Iterable[Finding]:
    """boto3 reads AWS_DEFAULT_REGION, most others AWS_REGION; endpoints are kept apart by region."""
    default, other = scene.environ.get("AWS_DEFAULT_REGION"), scene.environ.get("AWS_REGION")
    of_profile = _profile(scene.environ).get("region")
    found = default or of_profile
    if not found and other:
        yield warn("region", f"AWS_REGION is {other}, but boto3 reads AWS_DEFAULT_REGION", LEAD)
    elif not found:
        yield warn("region", "none set: boto3 asks for one", LEAD)
    elif other and other != found:
        yield warn("region", f"boto3 uses {found}, clients that read AWS_REGION use {other}", "set both alike")
    elif scene.status is not None and found != scene.status.get("region"):
        text = f"{found}; endpoints of another region, as the server's own {scene.status.get('region')}, are not seen"
        yield ok("region", text)
    else:
        yield ok("region", found)


def credentials(scene: Scene) -> Iterable[Finding]:
    """SDKs sign with something; Mooring takes anything, unless it needs its own keys."""
    if scene.environ.get("AWS_ACCESS_KEY_ID") and scene.environ.get("AWS_SECRET_ACCESS_KEY"):
        yield ok("credentials", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are set")
    elif _profile(scene.environ, _credentials_file(scene.environ)).get("aws_access_key_id"):
        yield ok("credentials", f"in {_credentials_file(scene.environ)}")
    elif _profile(scene.environ).keys() & {
        "aws_access_key_id",
        "sso_session",
        "sso_start_url",
        "credential_process",
        "role_arn",
    }:
        yield ok("credentials", f"by the profile in {_config_file(scene.environ)}")
    else:
        which = "any will do" if left_by(scene.paths) is None else "this server needs a key of its own"
        yield warn("credentials", f"none found: SDKs refuse to call without; {which}", LEAD)


def _same(one: str, other: str) -> bool:
    """Whether two URLs lead to the same place; the names of loopback are one."""
    try:
        parts = [urlsplit(each) for each in (one, other)]
        ports = {each.port or (443 if each.scheme == "https" else 80) for each in parts}
    except ValueError:
        return False
    hosts = {"loopback" if each.hostname in _LOOPBACK else each.hostname for each in parts}
    return len(hosts) == len(ports) == len({each.scheme for each in parts}) == 1


def _config_file(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("AWS_CONFIG_FILE") or Path(environ.get("HOME") or "~", ".aws", "config")).expanduser()


def _credentials_file(environ: Mapping[str, str]) -> Path:
    named = environ.get("AWS_SHARED_CREDENTIALS_FILE")
    return Path(named or Path(environ.get("HOME") or "~", ".aws", "credentials")).expanduser()


def _profiles(environ: Mapping[str, str]) -> set[str]:
    files = (_config_file(environ), _credentials_file(environ))
    return {section.removeprefix("profile ") for file in files for section in _read(file).sections()}


def _profile(environ: Mapping[str, str], file: Path | None = None) -> Mapping[str, str]:
    """What a file says of the profile that is in use."""
    name = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    read = _read(file or _config_file(environ))
    for section in (f"profile {name}", name):
        if read.has_section(section):
            return dict(read.items(section))
    return {}


def _read(file: Path) -> configparser.RawConfigParser:
    read = configparser.RawConfigParser(strict=False, default_section="")
    try:
        read.read(file, "utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return configparser.RawConfigParser()
    return read
