"""Secrets that are known by their look: the formats that services give their keys and tokens, and private keys.

The prefixes are those of the rules of gitleaks (MIT licence). Each pattern begins at a fixed text, and either succeeds
as soon as its least length is reached or gives up after a bounded number of characters, so that a search is linear.
"""

import re

HIDDEN = "[redacted]"

SHORTEST = 9
"""No key or token that is known by its look is shorter."""

_PREFIXED = re.compile(
    r"""
    (?<![A-Za-z0-9])(?=\S{9})(?:
      s(?:k-(?!learn)(?:[A-Za-z0-9]{12,}+[\w\-]*+|(?:ant|proj|svcacct|admin|or|lf|live|test|None)-[\w\-]{8,}+)
        |k_(?:live|test|prod)_\w{8,}+ | gp_\w{16,}+ | hp(?:at|ca|pa|ss)_\w{8,}+ | q0[ac](?:tp|sp)-[\w\-]{8,}+
        |ntry[su]_[\w=+/]{8,}+ | bp_[a-f0-9]{20,}+ | m_[aps]at_\w{8,}+ | hippo_(?:live|test)_\w{8,}+
        |ha256~[\w\-]{43} | ecret_[A-Za-z0-9]{40,}+)
     |g(?:h[pousr]_\w{8,}+ | ithub_pat_\w{8,}+ | l(?:pat|ptt|dt|rt|cbt|soat|ft|imt|agent|oas|ffct)-[\w\-.]{8,}+
        |lsa_\w{8,}+ | lc_[\w+/=]{16,}+ | sk_[A-Za-z0-9]{12,}+)
     |x(?:ox[a-z](?:\.xox[a-z])?-[\w\-]{8,}+ | app-[\w\-]{8,}+ | ai-[A-Za-z0-9]{16,}+)
     |h(?:f_(?!(?:transform|token|dataset|accelerat|diffus|pretrain|checkpoint|finetun|hub|model)[a-z]*+(?![A-Za-z0-9]))
            [A-Za-z0-9]{8,}+ | v[bs]\.[\w\-]{16,}+)
     |a(?:pi_org_\w{8,}+ | io_\w{20,}+)
     |A(?:(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[A-Z0-9]{8,}+ | Iza[\w\-]{8,}+ | KCp[A-Za-z0-9]{20,}+ | GE-SECRET-KEY-1\w{8,}+
        |(?:TATT|TCTT|TBB)[A-Za-z0-9][\w\-=]{16,}+ | BSK[\w+/=]{60,}+ | PI-[A-Z0-9]{26})
     |G(?:OCSPX-[\w\-]{8,}+ | R1348941[\w\-]{8,}+) | ya29\.[\w\-]{8,}+ | 1//0[\w\-]{30,}+ | qk_[\w\-]{8,}+
     |n(?:pm_[A-Za-z0-9]{16,}+ | vapi-[\w\-]{16,}+ | tn_\w{16,}+ | fp_\w{16,}+) | NR(?:A[KAL]|II)-[\w\-]{16,}+
     |p(?:ypi-[\w\-]{16,}+ | ul-[a-f0-9]{20,}+ | plx-[A-Za-z0-9]{16,}+ | scale_(?:tkn|pw|oauth)_[\w\-.=]{8,}+
        |n[ub]_[A-Za-z0-9]{16,}+ | csk_\w{16,}+ | at[A-Za-z0-9]{14}\.[\w.]{8,}+) | PMAK-[\w\-]{16,}+
     |d(?:ckr_[po]at_[\w\-]{8,}+ | o[por]_v1_\w{16,}+ | api[a-f0-9]{32}(?:-\d)? | p\.[a-z]{2,7}\.\w{16,}+)
     |r(?:8_[A-Za-z0-9]{16,}+ | k_(?:live|test|prod)_\w{8,}+ | ubygems_\w{16,}+ | dme_\w{16,}+ | pa_[A-Z0-9]{16,}+)
     |l(?:in_api_\w{16,}+ | sv2_[a-z]{2}_\w{16,}+) | f(?:igd_[\w\-]{16,}+ | [om]\d[a-z]?_[\w\-+/=]{32,}+)
     |t(?:skey-[\w\-]{8,}+ | gp_v1_[\w\-]{16,}+ | k-us-[\w\-]{16,}+) | jina_\w{16,}+
     |w(?:andb_v\d_[\w\-]{8,}+ | hsec_[\w+/=]{8,}+) | cmVmd[A-Za-z0-9]{40,}+ | EAAA[\w\-]{40,}+ | HRKU-[\w\-]{16,}+
     |KGAT_\w{16,}+ | k(?:ey-[0-9a-f]{32}(?!\w)) | v1\.0-[a-f0-9]{24}-[a-f0-9]{40,}+
     |S(?:K[0-9a-f]{32}(?!\w) | G\.[\w\-]{16,64}\.[\w\-]{16,}+)
     |[MNO][\w\-]{23,27}\.[\w\-]{6}\.[\w\-]{27,}+ | \d{8,10}:AA[\w\-]{32,}+
    )""",
    re.VERBOSE,
)
_MARKED = (
    ("eyJ", re.compile(
        r"(?<![A-Za-z0-9])eyJ(?:[\w\-+/]{24,}+|[\w\-]{6,23}+(?=\.[\w\-]{4}))(?:\.[\w\-]++)*+={0,2}"
    )),
    ("Q~", re.compile(r"(?<![\w~.])[\w~.]{3}\dQ~[\w~.\-]{31,34}")),
    ("earer", re.compile(
        r"[Bb]earer(?:\s|%20){1,8}(?!authenti|authoriz|credential|certific|tokens?\b)[\w\-+/=.~]{8,}+"
    )),
    ("asic", re.compile(
        r"[Bb]asic(?:\s|%20){1,8}(?=[A-Za-z0-9+/]{0,80}(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/]{8,}+={0,2}"
    )),
    ("BEARER", re.compile(r"BEARER\s{1,8}[\w\-+/=.~]{8,}+")),
    ("/", re.compile(
        r"""(?:discord(?:app)?\.com/api(?:/v\d\d?)?/webhooks/|api\.telegram\.org/(?:file/)?bot|hooks\.slack\.com/
        |webhook\.office\.com/|hooks\.zapier\.com/hooks/|outlook\.office\.com/webhook/)[^\s"'<>`]++""", re.VERBOSE
    )),
)  # fmt: skip
"""Formats that do not begin with a fixed text; each is looked for only where its mark stands in the text."""

KEY_BEGINS = re.compile(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}|PuTTY-User-Key-File-\d")
KEY_ENDS = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}|Private-MAC: ?\w{1,200}")


def without_known_formats(text: str) -> str:
    """A text without what looks like a key or token of a known service."""
    if len(text) < SHORTEST:
        return text
    for mark, pattern in _MARKED:
        if mark in text:
            text = pattern.sub(HIDDEN, text)
    return _PREFIXED.sub(HIDDEN, text)


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
