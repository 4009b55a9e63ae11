"""Names for runs that were given none: two words and a number, such as ``quiet-otter-4821``."""

import contextlib
import os
from hashlib import blake2b
from pathlib import Path

ADJECTIVES = (
    "able", "amber", "ample", "azure", "bold", "brave", "brief", "bright", "brisk", "broad", "calm", "candid",
    "clean", "clear", "clever", "cobalt", "cool", "cosy", "crisp", "curious", "daring", "deep", "deft", "eager",
    "early", "easy", "even", "fair", "fast", "fine", "firm", "fleet", "fond", "fresh", "gentle", "glad", "golden",
    "good", "grand", "green", "happy", "hardy", "honest", "humble", "jolly", "just", "keen", "kind", "large", "late",
    "lasting", "level", "light", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat",
    "nimble", "noble", "olive", "open", "patient", "plain", "polite", "prime", "proud", "pure", "quick", "quiet",
    "rapid", "ready", "robust", "rosy", "round", "royal", "sharp", "silent", "silver", "simple", "sleek", "smart",
    "smooth", "snug", "solid", "spry", "steady", "still", "strong", "sunny", "swift", "tidy", "tiny", "true",
    "upbeat", "vast", "vivid", "warm", "wise", "witty", "young", "zesty",
)  # fmt: skip
NOUNS = (
    "acorn", "anchor", "apple", "arch", "aspen", "badger", "bay", "beacon", "beaver", "birch", "bison", "bridge",
    "brook", "canyon", "cedar", "cherry", "cliff", "cloud", "clover", "comet", "coral", "cove", "crane", "creek",
    "crow", "delta", "dove", "dune", "eagle", "elm", "ember", "falcon", "fern", "finch", "fir", "fjord", "forest",
    "fox", "garden", "glade", "grove", "gull", "harbor", "hare", "hawk", "hazel", "heron", "hill", "island", "ivy",
    "jay", "juniper", "lagoon", "lake", "lark", "laurel", "lily", "lion", "lotus", "lynx", "maple", "marsh", "meadow",
    "moon", "moss", "oak", "ocean", "orchid", "osprey", "otter", "owl", "palm", "peak", "pearl", "pebble", "pine",
    "planet", "plum", "pond", "poppy", "puffin", "quail", "rain", "raven", "reef", "ridge", "river", "robin", "rose",
    "sage", "seal", "sky", "sparrow", "spruce", "star", "stone", "stream", "summit", "swan", "thistle", "tiger",
    "trout", "tulip", "valley", "willow", "wolf", "wren",
)  # fmt: skip
NUMBERS = 10_000
MOST_TRIED = 100


def invented_name(run_id: str) -> str:
    """A name for a run: always the same for the same id, so that all ranks agree without asking."""
    number = int.from_bytes(blake2b(run_id.encode(), digest_size=8).digest(), "big")
    number, first = divmod(number, len(ADJECTIVES))
    number, second = divmod(number, len(NOUNS))
    return f"{ADJECTIVES[first]}-{NOUNS[second]}-{number % NUMBERS}"


def name_for(directory: Path, run_id: str, given: str | None) -> str:
    """The name of a run: the one that was given, else one that no other run of the directory has.

    Each name is claimed by a small file, which costs no more than a look at one directory; a further attempt at the run
    finds its own. An invented name that is taken gets a number: ``quiet-otter-4821-2``.
    """
    if given is not None:
        _is_claimed(directory, given, run_id)
        return given
    name = invented_name(run_id)
    tried = (name, *(f"{name}-{number}" for number in range(2, MOST_TRIED)))
    return next((one for one in tried if _is_claimed(directory, one, run_id)), name)


def _is_claimed(directory: Path, name: str, run_id: str) -> bool:
    """Whether the name is the run's by now; also where nothing can be written, since a name may be had twice."""
    path = directory / blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        with contextlib.suppress(OSError):
            return path.read_bytes() == run_id.encode()
        return False
    except OSError:
        return True
    with contextlib.suppress(OSError):
        os.write(file, run_id.encode())
    os.close(file)
    return True
