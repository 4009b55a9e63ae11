"""Secrets that are known by their look: the formats that services give their keys and tokens, and private keys.

The prefixes are those of the rules of gitleaks (MIT licence). Each pattern begins at a fixed text, and either succeeds
as soon as its least length is reached or gives up after a bounded number of characters, so that a search is linear.
"""

import re

from .lazy import lazy_pattern

HIDDEN = "[redacted]"

SHORTEST = 9
"""No key or token that is known by its look is shorter."""

_FORMATS = (
    ("sk-", r"(?!learn)(?:[A-Za-z0-9]{12,}+[\w\-]*+|(?:ant|proj|svcacct|admin|or|lf|live|test|None)-[\w\-]{8,}+)"),
    ("hf_", r"(?!(?:transform|token|dataset|accelerat|diffus|pretrain|checkpoint|finetun|hub|model)[a-z]*+"
            r"(?![A-Za-z0-9]))[A-Za-z0-9]{8,}+"),
    ("sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ shpat_ shpca_ shppa_ shpss_ sm_aat_ sm_pat_ sm_sat_"
     " shippo_live_ shippo_test_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glsa_ api_org_ AGE-SECRET-KEY-1", r"\w{8,}+"),
    ("sq0atp- sq0ctp- sq0asp- sq0csp- xapp- AIza GOCSPX- GR1348941 ya29. qk_ dckr_pat_ dckr_oat_ tskey-",
     r"[\w\-]{8,}+"),
    ("glpat- glptt- gldt- glrt- glcbt- glsoat- glft- glimt- glagent- gloas- glffct-", r"[\w\-.]{8,}+"),
    ("sntrys_ sntryu_ whsec_", r"[\w=+/]{8,}+"),
    ("pscale_tkn_ pscale_pw_ pscale_oauth_", r"[\w\-.=]{8,}+"),
    ("AKIA ASIA ABIA ACCA", r"[A-Z0-9]{8,}+"), ("A3T", r"[A-Z0-9]{9,}+"),
    ("xox", r"[a-z](?:\.xox[a-z])?-[\w\-]{8,}+"), ("wandb_v", r"\d_[\w\-]{8,}+"),
    ("gsk_", r"[A-Za-z0-9]{12,}+"),
    ("sgp_ ntn_ nfp_ pcsk_ dop_v1_ doo_v1_ dor_v1_ rubygems_ rdme_ lin_api_ jina_ KGAT_", r"\w{16,}+"),
    ("xai- npm_ pplx- pnu_ pnb_ r8_", r"[A-Za-z0-9]{16,}+"),
    ("hvb. hvs. nvapi- NRAA- NRAK- NRAL- NRII- pypi- PMAK- figd_ tgp_v1_ tk-us- HRKU-", r"[\w\-]{16,}+"),
    ("glc_", r"[\w+/=]{16,}+"), ("rpa_", r"[A-Z0-9]{16,}+"), ("ATATT ATCTT ATBB", r"[A-Za-z0-9][\w\-=]{16,}+"),
    ("lsv2_", r"[a-z]{2}_\w{16,}+"), ("dp.", r"[a-z]{2,7}\.\w{16,}+"), ("SG.", r"[\w\-]{16,64}\.[\w\-]{16,}+"),
    ("aio_", r"\w{20,}+"), ("AKCp", r"[A-Za-z0-9]{20,}+"), ("sbp_ pul-", r"[a-f0-9]{20,}+"),
    ("API-", r"[A-Z0-9]{26}"), ("1//0", r"[\w\-]{30,}+"), ("dapi", r"[a-f0-9]{32}(?:-\d)?"),
    ("key-", r"[0-9a-f]{32}(?!\w)"), ("v1.0-", r"[a-f0-9]{24}-[a-f0-9]{40,}+"),
    ("secret_ cmVmd", r"[A-Za-z0-9]{40,}+"), ("EAAA", r"[\w\-]{40,}+"), ("sha256~", r"[\w\-]{43}"),
    ("ABSK", r"[\w+/=]{60,}+"),
)  # fmt: skip
"""How keys and tokens begin, and what follows."""

_BEGINS = tuple(begin for begins, _ in _FORMATS for begin in begins.split())
_MARKED = (
    ("eyJ", lazy_pattern(
        r"(?<![A-Za-z0-9])eyJ(?:[\w\-+/]{24,}+|[\w\-]{6,23}+(?=\.[\w\-]{4}))(?:\.[\w\-]++)*+={0,2}"
    )),
    ("Q~", lazy_pattern(r"(?<![\w~.])[\w~.]{3}\dQ~[\w~.\-]{31,34}")),
    ("earer", lazy_pattern(
        r"[Bb]earer(?:\s|%20){1,8}(?!authenti|authoriz|credential|certific|tokens?\b)[\w\-+/=.~]{8,}+"
    )),
    ("asic", lazy_pattern(
        r"[Bb]asic(?:\s|%20){1,8}(?=[A-Za-z0-9+/]{0,80}(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/]{8,}+={0,2}"
    )),
    ("BEARER", lazy_pattern(r"BEARER\s{1,8}[\w\-+/=.~]{8,}+")),
    (".com/", lazy_pattern(
        r"""(?:discord(?:app)?\.com/api(?:/v\d\d?)?/webhooks/|hooks\.slack\.com/|webhook\.office\.com/
        |hooks\.zapier\.com/hooks/|outlook\.office\.com/webhook/)[^\s"'<>`]++""", re.VERBOSE
    )),
    ("api.telegram.org/", lazy_pattern(r"""api\.telegram\.org/(?:file/)?bot[^\s"'<>`]++""")),
    (":AA", lazy_pattern(r"(?<![A-Za-z0-9])\d{8,10}:AA[\w\-]{32,}+")),
    ("pat", lazy_pattern(r"(?<![A-Za-z0-9])pat[A-Za-z0-9]{14}\.[\w.]{8,}+")),
    ("SK", lazy_pattern(r"(?<![A-Za-z0-9])SK[0-9a-f]{32}(?!\w)")),
    ("fo", lazy_pattern(r"(?<![A-Za-z0-9])fo\d[a-z]?_[\w\-+/=]{32,}+")),
    ("fm", lazy_pattern(r"(?<![A-Za-z0-9])fm\d[a-z]?_[\w\-+/=]{32,}+")),
)  # fmt: skip
"""Formats that do not begin with a fixed text; each is looked for only where its mark stands in the text."""

KEY_BEGINS = lazy_pattern(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}|PuTTY-User-Key-File-\d")
KEY_ENDS = lazy_pattern(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}|Private-MAC: ?\w{1,200}")


_DISCORD = lazy_pattern(r"(?<![A-Za-z0-9])[MNO][\w\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,}+")
_SHORTEST_DISCORD = 59

_FEW_TEXTS = 200
"""So many texts are looked through without the pattern of all formats; compiling it takes as long as these do."""

_prefixed: "re.Pattern[str] | None" = None
_looked_through = 0


def without_known_formats(text: str) -> str:
    """A text without what looks like a key or token of a known service."""
    if len(text) < SHORTEST:
        return text
    for mark, pattern in _MARKED:
        if mark in text:
            text = pattern.sub(HIDDEN, text)
    if len(text) >= _SHORTEST_DISCORD and text.count(".") > 1:
        text = _DISCORD.sub(HIDDEN, text)
    if _prefixed is not None:
        return _prefixed.sub(HIDDEN, text)
    return _compiled().sub(HIDDEN, text) if _is_worth_compiling(text) else text


def _is_worth_compiling(text: str) -> bool:
    """Whether a text may hold a key, or many texts came; to look for each beginning is ten times as slow."""
    global _looked_through
    _looked_through += 1
    return _looked_through > _FEW_TEXTS or len(text) > 10_000 or any(begin in text for begin in _BEGINS)


def _compiled() -> "re.Pattern[str]":
    """One pattern of all formats, by their first letters: so a search is faster."""
    global _prefixed
    by_letter: dict[str, list[str]] = {}
    for begins, rest in _FORMATS:
        for begin in begins.split():
            by_letter.setdefault(begin[0], []).append(re.escape(begin[1:]) + rest)
    formats = "|".join(f"{letter}(?:{'|'.join(ends)})" for letter, ends in by_letter.items())
    _prefixed = re.compile(rf"(?<![A-Za-z0-9])(?=\S{{9}})(?:{formats})")
    return _prefixed


def without_private_keys(text: str) -> str:
    """A text without private keys, each from its first line to its last; to the end if it has no last line."""
    made: list[str] = []
    place = 0
    while begin := KEY_BEGINS.search(text, place):
        made += (text[place : begin.start()], HIDDEN)
        end = KEY_ENDS.search(text, begin.end())
        if end is None:
            return "".join(made)
        place = end.end()
    return "".join(made) + text[place:]
