"""Stores as earlier versions wrote them."""

import sqlite3
import zlib
from pathlib import Path

VERSION_1 = """
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
    code_version TEXT NOT NULL
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
    environment INTEGER NOT NULL REFERENCES environments (id)
);
CREATE UNIQUE INDEX attempts_key ON attempts (
    checksum, algorithm, parameters, ifnull(seed, -1), ifnull(time_limit, -1), start
);
CREATE TABLE placements (
    attempt_id INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
    content BLOB NOT NULL             -- zlib of a placement file
);
"""

ROWS_1 = """
INSERT INTO instances VALUES ('c0', 'tiny-by-hand', 'tiny', 'tiny', 0, '{}', '[]', '[]', 1, 2, 2, 2,
    6, 2, 6, 5, 23.5625, 'v1');
INSERT INTO environments VALUES (1, '{"cores": 2, "cpu": "abacus", "memory_bytes": 7,
    "platform": "Linux", "python": "3.11.0", "versions": {"a": "1"}}');
INSERT INTO attempts VALUES (1, 'c0', 'greedy', 0, '{}', NULL, 5.0, NULL, '', NULL, 'feasible',
    'completed', '', 1.5, 22.0, NULL, NULL, 0.25, '', NULL, '2026-01-01T00:00:00+00:00', 'v1', 1);
INSERT INTO attempts VALUES (2, 'c0', 'milp', 1, '{}', 3, 5.0, NULL, 'auto', 0.5, 'no_solution',
    'time_limit', 'late', NULL, NULL, 7.5, NULL, 5.25, '', NULL, '2026-01-01T00:00:01+00:00', 'v1',
    1);
INSERT INTO attempts VALUES (3, 'c0', 'liar', 0, '{}', NULL, 5.0, NULL, '', NULL, 'error',
    'wrong_claim', 'a lie', NULL, NULL, NULL, 9.5, 0.5, '', NULL, '2026-01-01T00:00:02+00:00', 'v1',
    1);
"""

PLACEMENT_1 = b'{"servers":{}}'


def write_version_1(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(VERSION_1)
    connection.executescript(ROWS_1)
    connection.execute("INSERT INTO placements VALUES (1, ?)", (zlib.compress(PLACEMENT_1),))
    connection.execute("PRAGMA application_id = 1836017008")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
