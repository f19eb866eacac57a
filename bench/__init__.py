"""Runs, measures and reports: the command line, the sandboxed runner, the store, the report."""
