"""What other trackers call things, and what they are called here, for the error about a name that is not there."""

from collections.abc import Iterable, Mapping

MODULE_WORDS: Mapping[str, str] = {
    "Artifact": "run.log_artifact", "Histogram": "ArtifactStore.log_histogram", "Run": "TrainingSession",
    "Api": "quark.open or quark.connect", "active_run": "quark.current_run", "alert": "run.add_log",
    "config": "run.config", "create_run": "quark.start_run", "end": "quark.finish", "get_run": "quark.open().run",
    "last_active_run": "quark.open().runs", "load": "quark.open", "log_artifact": "run.log_artifact",
    "log_artifacts": "quark.store_files", "log_metric": "quark.log", "log_metrics": "quark.log",
    "log_param": "run.config.update", "log_params": "run.config.update", "login": "QUARK_USER_KEY",
    "run": "quark.current_run", "runs": "quark.open().runs", "save": "run.log_artifact",
    "search_runs": "quark.open().to_pandas", "set_experiment": "quark.start_run(project=...)",
    "set_tag": "quark.add_tag", "set_tags": "quark.add_tag", "summary": "run.summary", "watch": "run.watch",
}  # fmt: skip
"""Names that people look for in the package."""

RUN_WORDS: Mapping[str, str] = {
    "alert": "run.add_log", "close": "run.finish", "define_metric": "mode= of view.best", "dir": "run.run_path",
    "end": "run.finish", "info": "run.context", "log_code": "run.log_artifact", "log_dict": "run.log",
    "log_hyperparams": "run.config.update", "log_metric": "run.log", "log_metrics": "run.log",
    "log_param": "run.config.update", "log_params": "run.config.update", "log_text": "run.add_log",
    "notes": "run.note", "params": "run.config", "path": "run.run_path", "project": "run.project_name",
    "save": "run.log_artifact", "set_tag": "run.add_tag", "set_tags": "run.add_tag", "track": "run.log",
    "url": "run.storage_dir", "use_artifact": "quark.open().run(...).load",
}  # fmt: skip
"""Names that people look for in a run."""

COMMAND_WORDS: Mapping[str, str] = {
    "best": "quark runs --sort -val/acc:max", "cat": "quark show", "diff": "quark compare", "get": "quark show",
    "info": "quark show", "init": "quark.start_run in Python", "kill": "quark stop", "log": "quark tail",
    "login": "the variable QUARK_USER_KEY", "logs": "quark tail", "offline": "nothing: runs are recorded locally",
    "projects": "quark runs", "ps": "quark runs --status running", "pull": "quark export", "push": "quark sync",
    "remove": "quark delete", "rm": "quark delete", "server": "quark serve", "undelete": "quark restore",
    "upload": "quark sync", "view": "quark show",
}  # fmt: skip
"""Commands that people try."""


def hint(name: str, words: Mapping[str, str], known: Iterable[str]) -> str:
    """``; use run.log``, or names that are spelled nearly so; empty where nothing is near."""
    if name in words:
        return f"; use {words[name]}"
    import difflib

    near = difflib.get_close_matches(name, [one for one in known if not one.startswith("_")], n=3, cutoff=0.7)
    return f"; did you mean {', '.join(near)}?" if near else ""
