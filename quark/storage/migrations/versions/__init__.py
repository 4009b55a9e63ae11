"""One file per migration; ``HEAD`` in ``version.py`` names the last one."""
