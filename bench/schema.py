"""Tables of the store, and the columns of its results.

- ``instances``: one row for each problem, found by the checksum of its content;
- ``environments``: one row for each machine with its libraries;
- ``attempts``: one row for each finished attempt, whether it ended well or not. An attempt that
  was repeated stays, and names its successor in ``superseded_by``; the others are unique in
  (checksum, algorithm, parameters, seed, time limit, start), so that nothing is counted twice;
- ``trajectories``: what was known at which moment of an attempt, judged;
- ``placements``: the placement of an attempt, as a placement file compressed with zlib.

Unknown numbers are NULL in the file and NaN in tables.
"""

SCHEMA_VERSION = 3
APPLICATION_ID = 0x6D6F6570
"""The letters "moep": what ``file`` and :meth:`Store.open` know a store by."""

SCHEMA = """
CREATE TABLE instances (
    checksum TEXT PRIMARY KEY,        -- SHA-256 of the content
    name TEXT NOT NULL,
    family TEXT NOT NULL,             -- '' when it came from a file
    size TEXT NOT NULL,               -- '' when it came from a file
    seed INTEGER,                     -- NULL when it came from a file
    options TEXT NOT NULL,            -- JSON: options of the family; {"file": NAME} for a file
    model_shapes TEXT NOT NULL,       -- JSON: [{name, layers, experts, top_k, expert_bytes}]
    server_shapes TEXT NOT NULL,      -- JSON: [{name, capacity_bytes}]
    models INTEGER NOT NULL,
    servers INTEGER NOT NULL,
    users INTEGER NOT NULL,
    layers INTEGER NOT NULL,          -- over all models
    experts INTEGER NOT NULL,         -- over all layers of all models
    top_k INTEGER NOT NULL,           -- largest of the models
    rows INTEGER NOT NULL,            -- demand rows
    clauses INTEGER NOT NULL,         -- after merging
    empty_latency_ms REAL NOT NULL,   -- ms per token when nothing is stored
    code_version TEXT NOT NULL,
    plugin TEXT NOT NULL DEFAULT ''   -- package and version of the family; '' for our own
);
CREATE TABLE environments (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE      -- JSON: python, platform, cpu, cores, memory_bytes, versions
);
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    checksum TEXT NOT NULL REFERENCES instances (checksum),
    algorithm TEXT NOT NULL,
    exact INTEGER NOT NULL,           -- 1: proves optimality when it completes
    parameters TEXT NOT NULL,         -- JSON, keys sorted
    seed INTEGER,                     -- NULL for a method that is not randomised
    time_limit REAL,                  -- s; NULL for none
    memory_limit_bytes INTEGER,       -- NULL for none
    start TEXT NOT NULL,              -- 'auto' or 'none'; '' for a method that takes no start
    start_seconds REAL,               -- time of finding the start, not part of seconds
    status TEXT NOT NULL,
    stop_reason TEXT NOT NULL,
    reason TEXT NOT NULL,
    saving_ms REAL,                   -- NULL without a placement
    latency_ms REAL,                  -- NULL without a placement
    bound_saving_ms REAL,             -- NULL when unknown
    claimed_saving_ms REAL,           -- NULL when the method claims nothing
    seconds REAL NOT NULL,            -- wall clock of the method itself
    guarantee TEXT NOT NULL,          -- formula; '' when nothing is claimed
    guarantee_ratio REAL,             -- on this instance; NULL when nothing is claimed
    started_at TEXT NOT NULL,         -- UTC, ISO 8601
    code_version TEXT NOT NULL,
    environment INTEGER NOT NULL REFERENCES environments (id),
    uid TEXT NOT NULL DEFAULT '',     -- the same in every store that holds this attempt
    kind TEXT NOT NULL DEFAULT '',    -- one word for status and stop_reason, see bench/kinds.py
    bound_certified INTEGER NOT NULL DEFAULT 0,  -- 1: the bound holds in exact arithmetic
    threads INTEGER NOT NULL DEFAULT 1,          -- most that the method was given
    cores TEXT NOT NULL DEFAULT '',   -- processors that it was allowed: 0,1; '' when unknown
    superseded_by INTEGER REFERENCES attempts (id) DEFERRABLE INITIALLY DEFERRED,
    plugin TEXT NOT NULL DEFAULT ''   -- package and version of the method; '' for our own
);
CREATE UNIQUE INDEX attempts_key ON attempts (
    checksum, algorithm, parameters, ifnull(seed, -1), ifnull(time_limit, -1), start
) WHERE superseded_by IS NULL;
CREATE UNIQUE INDEX attempts_uid ON attempts (uid);
CREATE TABLE trajectories (
    attempt_id INTEGER NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    step INTEGER NOT NULL,            -- 0, 1, ...; each better than the one before
    seconds REAL NOT NULL,            -- since the method began
    saving_ms REAL,                   -- of the best placement so far; NULL before the first
    bound_saving_ms REAL,             -- lowest bound so far; NULL before the first
    bound_certified INTEGER NOT NULL, -- 1: that bound holds in exact arithmetic
    PRIMARY KEY (attempt_id, step)
) WITHOUT ROWID;
CREATE TABLE placements (
    attempt_id INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
    content BLOB NOT NULL             -- zlib of a placement file
);
"""

RESULTS = """
SELECT attempts.id AS attempt_id, name AS instance, checksum, family, size,
    instances.seed AS instance_seed, options, models, servers, users, layers, experts, top_k, rows,
    clauses, algorithm, exact, parameters, attempts.seed AS seed, time_limit, start, start_seconds,
    status, stop_reason, kind, reason, saving_ms, latency_ms, empty_latency_ms, bound_saving_ms,
    bound_certified, claimed_saving_ms, seconds, guarantee_ratio, guarantee, threads, cores,
    memory_limit_bytes, started_at, attempts.code_version AS code_version,
    attempts.plugin AS plugin, environment, uid, superseded_by
FROM attempts JOIN instances USING (checksum)
"""
"""Joined rows of attempts that count and of those that were repeated later."""

TEXT = {
    *("instance", "checksum", "family", "size", "options", "algorithm", "parameters", "start"),
    *("status", "stop_reason", "kind", "reason", "guarantee", "cores", "started_at"),
    *("code_version", "plugin", "uid"),
}
TRUTH = {"exact", "bound_certified"}
MAYBE_WHOLE = {"instance_seed", "seed", "superseded_by"}
WHOLE = {
    *("attempt_id", "models", "servers", "users", "layers", "experts", "top_k", "rows", "clauses"),
    *("environment", "threads"),
}
