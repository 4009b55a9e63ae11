"""A service, its clients and the way between them, all failing at once; and the accounts that must still agree."""
