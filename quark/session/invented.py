"""Names for runs that were given none: two words and a number, such as ``quiet-otter-4821``."""

from hashlib import blake2b

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


def invented_name(run_id: str) -> str:
    """A name for a run: always the same for the same id, so that all ranks and attempts agree without asking.

    Of a thousand runs in a project two share a name in about one project of two hundred; ``Store.run`` then asks for
    the id.
    """
    number = int.from_bytes(blake2b(run_id.encode(), digest_size=8).digest(), "big")
    number, first = divmod(number, len(ADJECTIVES))
    number, second = divmod(number, len(NOUNS))
    return f"{ADJECTIVES[first]}-{NOUNS[second]}-{number % NUMBERS}"
