-- One table of jobs is the truth. Times are seconds since the epoch by the clock of whoever wrote them; no
-- lease depends on one (see runners.beat).

CREATE TABLE moves (
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    PRIMARY KEY (from_state, to_state)
);

-- Every move that a job may make; 0002 refuses all others.
INSERT INTO moves (from_state, to_state) VALUES
    ('queued', 'running'),      -- claimed
    ('queued', 'cancelled'),
    ('queued', 'expired'),      -- its ttl passed before it was claimed
    ('running', 'succeeded'),
    ('running', 'failed'),
    ('running', 'cancelled'),
    ('running', 'queued'),      -- to be tried again, or given back
    ('failed', 'queued'),       -- retried by somebody
    ('cancelled', 'queued'),
    ('expired', 'queued');

CREATE TABLE batches (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    total BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY,                    -- UUIDv7: sorts by time of submission
    task TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
    version BIGINT NOT NULL DEFAULT 1,      -- how many states it has been in
    owner TEXT NOT NULL,                    -- name of the API key
    request_id TEXT NOT NULL,
    batch TEXT REFERENCES batches (id),
    parent TEXT,                            -- the job that this one follows up
    priority BIGINT NOT NULL,
    cpu BIGINT NOT NULL,                    -- CPU slots it takes
    timeout DOUBLE PRECISION,               -- seconds an attempt may take; NULL: as the runner is set
    run_at DOUBLE PRECISION NOT NULL,
    ready BIGINT NOT NULL,                  -- 1 once run_at has come
    expires_at DOUBLE PRECISION,
    max_attempts BIGINT NOT NULL,
    max_crashes BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,     -- how often it was claimed: the fencing token, never set back
    failures BIGINT NOT NULL DEFAULT 0,     -- attempts that ended in an error
    crashes BIGINT NOT NULL DEFAULT 0,      -- attempts whose process or runner died
    runner TEXT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    progress TEXT,                          -- JSON
    error TEXT,                             -- JSON: the problem document of the last attempt
    created_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    run_seconds DOUBLE PRECISION,
    cpu_seconds DOUBLE PRECISION,
    idempotency_key TEXT,
    fingerprint TEXT,
    webhook TEXT,
    CONSTRAINT "a job begins as queued" CHECK (version > 1 OR state = 'queued'),
    CHECK ((state = 'running') = (runner IS NOT NULL)),
    CHECK ((state IN ('queued', 'running')) = (finished_at IS NULL))
);

-- What runners look for. SQLite, which does not know how many rows there are, takes the index with the most
-- columns that are compared for being equal; so these begin with what is the same in all of their rows.
CREATE INDEX jobs_claim ON jobs (state, ready, cpu, priority DESC, id) WHERE state = 'queued' AND ready = 1;
CREATE INDEX jobs_due ON jobs (state, ready, run_at) WHERE state = 'queued' AND ready = 0;
CREATE INDEX jobs_expiry ON jobs (state, expires_at) WHERE state = 'queued' AND expires_at IS NOT NULL AND attempts = 0;
CREATE INDEX jobs_running ON jobs (state, runner, id) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- What clients look for: the newest of a state, or of several, each by itself.
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_task ON jobs (task, state, id);
CREATE INDEX jobs_batch ON jobs (batch, state, id) WHERE batch IS NOT NULL;
CREATE UNIQUE INDEX jobs_idempotency ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- What a job takes and returns: beside its row, for that is written anew at each change.
CREATE TABLE payloads (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('args', 'result')),
    media_type TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (job, kind)
);

CREATE TABLE job_log (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    seq BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    stream TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (job, seq)
);

-- Who runs jobs. A runner adds to its beat; others watch it by their own monotonic clocks, and take over
-- what it has when it stands still for the length of a lease.
CREATE TABLE runners (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started_at DOUBLE PRECISION NOT NULL,
    beat BIGINT NOT NULL DEFAULT 0
);

-- The latest period of each periodic task that a job was made for.
CREATE TABLE schedules (
    task TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    period DOUBLE PRECISION NOT NULL
);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    host TEXT NOT NULL,                     -- of the url: none shall hold up the messages to others
    event TEXT NOT NULL,                    -- job.succeeded, job.failed, …
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts BIGINT NOT NULL DEFAULT 0,
    next_at DOUBLE PRECISION NOT NULL,
    runner TEXT,                            -- who is at it
    status BIGINT,                          -- HTTP status of the last attempt
    error TEXT,
    created_at DOUBLE PRECISION NOT NULL,
    finished_at DOUBLE PRECISION
);

CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_job ON deliveries (job, id);
