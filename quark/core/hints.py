"""What other trackers call things, and what they are called here, for the error about a name that is not there."""

from collections.abc import Iterable, Mapping

MODULE_WORDS: Mapping[str, str] = {
    "active_run": "quark.current_run", "add_scalar": "quark.log", "alert": "run.add_log",
    "Api": "quark.open or quark.connect", "Artifact": "run.log_artifact", "close": "quark.finish",
    "config": "run.config", "create_run": "quark.start_run", "define_metric": "mode= of view.best",
    "end": "quark.finish", "get_run": "quark.open().run", "Histogram": "ArtifactStore.log_histogram",
    "Image": "run.log_artifact", "init_run": "quark.init", "last_active_run": "quark.open().runs",
    "load": "quark.open", "log_artifact": "run.log_artifact", "log_artifacts": "quark.store_files",
    "log_figure": "run.log_artifact", "log_image": "run.log_artifact", "log_metric": "quark.log",
    "log_metrics": "quark.log", "log_param": "run.config.update", "log_params": "run.config.update",
    "log_text": "quark.add_log", "login": "QUARK_USER_KEY", "Run": "TrainingSession", "run": "quark.current_run",
    "runs": "quark.open().runs", "save": "run.log_artifact", "search_runs": "quark.open().to_pandas",
    "set_experiment": "quark.start_run(project=...)", "set_tag": "quark.add_tag", "set_tags": "quark.add_tag",
    "summary": "run.summary", "SummaryWriter": "quark.start_run", "Table": "run.log_artifact", "track": "quark.log",
    "watch": "run.watch",
}  # fmt: skip
"""Names that people look for in the package."""

RUN_WORDS: Mapping[str, str] = {
    "add_scalar": "run.log", "add_scalars": "run.log", "alert": "run.add_log", "close": "run.finish",
    "define_metric": "mode= of view.best", "dir": "run.run_path", "end": "run.finish", "info": "run.context",
    "log_code": "run.log_artifact", "log_dict": "run.log", "log_figure": "run.log_artifact",
    "log_histogram": "ArtifactStore.log_histogram", "log_hyperparams": "run.config.update",
    "log_image": "run.log_artifact", "log_metric": "run.log", "log_metrics": "run.log",
    "log_param": "run.config.update", "log_params": "run.config.update", "log_table": "run.log_artifact",
    "log_text": "run.add_log", "notes": "run.note", "params": "run.config", "path": "run.run_path",
    "project": "run.project_name", "save": "run.log_artifact", "set_tag": "run.add_tag", "set_tags": "run.add_tag",
    "track": "run.log", "url": "run.storage_dir", "use_artifact": "quark.open().run(...).load",
}  # fmt: skip
"""Names that people look for in a run."""

COMMAND_WORDS: Mapping[str, str] = {
    "best": "quark runs --sort -val/acc:max", "board": "quark ui", "cat": "quark show", "dashboard": "quark ui",
    "diff": "quark compare", "get": "quark show", "info": "quark show", "init": "quark.start_run in Python",
    "kill": "quark stop", "log": "quark tail", "login": "the variable QUARK_USER_KEY", "logs": "quark tail",
    "metrics": "quark show", "offline": "nothing: runs are recorded locally", "open": "quark ui",
    "plot": "quark watch or quark ui", "projects": "quark runs", "ps": "quark runs --status running",
    "pull": "quark export", "push": "quark sync", "remove": "quark delete", "rm": "quark delete",
    "server": "quark serve", "undelete": "quark restore", "upload": "quark sync", "view": "quark show",
}  # fmt: skip
"""Commands that people try."""


def hint(name: str, words: Mapping[str, str], known: Iterable[str]) -> str:
    """``; use run.log``, or names that are spelled nearly so; empty where nothing is near."""
    if name in words:
        return f"; use {words[name]}"
    import difflib

    near = difflib.get_close_matches(name, [one for one in known if not one.startswith("_")], n=3, cutoff=0.7)
    return f"; did you mean {', '.join(near)}?" if near else ""
