-- Every question that is put to the database, by name; one text for SQLite and PostgreSQL.
--
--   :name     a parameter
--   :name*    a list of parameters, in brackets
--   /*lock*/  PostgreSQL: lock the rows, and skip those that others have locked. SQLite has one writer.
--   /*for update*/  PostgreSQL: lock the rows, waiting for others. Where there are several it is done in the order
--             of their ids before any is changed, or two could wait for each other.

-- ------------------------------------------------------------------------------ the schema

-- name: make_migrations
CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at DOUBLE PRECISION NOT NULL
)

-- name: migrations
SELECT number, name, applied_at FROM migrations ORDER BY number

-- name: add_migration
INSERT INTO migrations (number, name, applied_at) VALUES (:number, :name, :now)

-- ------------------------------------------------------------------------------ what clients do

-- name: add_batch
INSERT INTO batches (id, owner, total, created_at) VALUES (:id, :owner, :total, :now)

-- name: add_job
INSERT INTO jobs (id, task, owner, request_id, batch, parent, priority, cpu, timeout, run_at, ready, expires_at,
    max_attempts, max_crashes, created_at, idempotency_key, fingerprint, webhook, skip)
VALUES (:id, :task, :owner, :request_id, :batch, :parent, :priority, :cpu, :timeout, :run_at, :ready, :expires_at,
    :max_attempts, :max_crashes, :now, :idempotency_key, :fingerprint, :webhook, :skip)

-- name: add_job_once
INSERT INTO jobs (id, task, owner, request_id, batch, parent, priority, cpu, timeout, run_at, ready, expires_at,
    max_attempts, max_crashes, created_at, idempotency_key, fingerprint, webhook, skip)
VALUES (:id, :task, :owner, :request_id, :batch, :parent, :priority, :cpu, :timeout, :run_at, :ready, :expires_at,
    :max_attempts, :max_crashes, :now, :idempotency_key, :fingerprint, :webhook, :skip)
ON CONFLICT (owner, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id

-- name: job_of_key
SELECT * FROM jobs WHERE owner = :owner AND idempotency_key = :idempotency_key

-- name: add_payload
INSERT INTO payloads (job, kind, media_type, content) VALUES (:job, :kind, :media_type, :content)

-- name: add_trace
INSERT INTO job_traces (job, trace) VALUES (:job, :trace)

-- name: traces
SELECT job, trace FROM job_traces WHERE job IN (:jobs*)

-- name: job
SELECT * FROM jobs WHERE id = :id

-- name: job_to_change
SELECT * FROM jobs WHERE id = :id /*for update*/

-- name: payload
SELECT media_type, content FROM payloads WHERE job = :job AND kind = :kind

-- name: log
SELECT seq, attempt, at, stream, line FROM job_log WHERE job = :job AND seq > :after ORDER BY seq LIMIT :limit

-- name: list_jobs
SELECT * FROM jobs WHERE id < :before /*filters*/ ORDER BY id DESC LIMIT :limit

-- name: list_jobs_of_states
SELECT * FROM jobs WHERE id < :before AND id IN (/*filters*/) ORDER BY id DESC LIMIT :limit

-- name: cancel_queued
UPDATE jobs SET state = 'cancelled', version = version + 1, finished_at = :now
WHERE id = :id AND state = 'queued'
RETURNING *

-- name: cancel_running
UPDATE jobs SET cancel_requested = 1 WHERE id = :id AND state = 'running' RETURNING *

-- name: batch_to_change
SELECT id FROM jobs WHERE batch = :batch AND state IN ('queued', 'running') ORDER BY id /*for update*/

-- name: cancel_queued_of_batch
UPDATE jobs SET state = 'cancelled', version = version + 1, finished_at = :now
WHERE batch = :batch AND state = 'queued'
RETURNING *

-- name: cancel_running_of_batch
UPDATE jobs SET cancel_requested = 1 WHERE batch = :batch AND state = 'running' RETURNING id

-- name: retry
UPDATE jobs SET state = 'queued', version = version + 1, run_at = :now, ready = 1, expires_at = NULL,
    failures = 0, crashes = 0, cancel_requested = 0, progress = NULL, finished_at = NULL
WHERE id = :id AND state IN ('failed', 'cancelled', 'expired')
RETURNING *

-- name: delete_job
DELETE FROM jobs WHERE id = :id AND state NOT IN ('queued', 'running') RETURNING id

-- name: batch
SELECT id, owner, total, created_at FROM batches WHERE id = :id

-- name: batch_counts
SELECT state, COUNT(*) AS number FROM jobs WHERE batch = :batch GROUP BY state

-- name: deliveries
SELECT * FROM deliveries WHERE job = :job ORDER BY id

-- name: counts
SELECT state, COUNT(*) AS number FROM jobs GROUP BY state

-- Each is answered by the first row of an index, or by few rows.
-- name: standing
SELECT
    (SELECT COUNT(*) FROM runners WHERE beat_at IS NULL OR beat_at > :alive) AS runners,
    (SELECT COUNT(*) FROM jobs WHERE state = 'running') AS running,
    (SELECT MIN(run_at) FROM jobs WHERE state = 'queued' AND ready = 1) AS ready_since,
    (SELECT MIN(run_at) FROM jobs WHERE state = 'queued' AND ready = 0) AS next_due

-- Nobody has made those ready yet that are due by their time, and not a runner may be there to do so.
-- name: waiting
SELECT
    (SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND ready = 1)
        + (SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND ready = 0 AND run_at <= :now) AS queued,
    (SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND ready = 0 AND run_at > :now) AS scheduled

-- name: count_ended
SELECT COUNT(*) AS number FROM jobs WHERE finished_at IS NOT NULL AND finished_at <= :before /*filters*/

-- ------------------------------------------------------------------------------ what runners do

-- name: add_runner
INSERT INTO runners (id, host, pid, started_at, beat_at) VALUES (:id, :host, :pid, :now, :now)

-- name: beat
UPDATE runners SET beat = beat + 1, beat_at = :now WHERE id = :runner RETURNING id

-- name: runners
SELECT id, host, pid, started_at, beat FROM runners

-- name: remove_runner
DELETE FROM runners WHERE id = :runner

-- A runner that has moved since it was seen to stand still is left alone, and one that is about to: who waited
-- for it could not see to a lease of its own.
-- name: expel
DELETE FROM runners WHERE id IN (SELECT id FROM runners WHERE id = :runner AND beat = :beat /*lock*/) RETURNING id

-- name: claimable
SELECT id, task FROM jobs
WHERE state = 'queued' AND ready = 1 AND cpu = :cpu AND task IN (:tasks*)
    AND (expires_at IS NULL OR expires_at > :now OR attempts > 0)
ORDER BY priority DESC, id LIMIT :limit /*lock*/

-- name: claim
UPDATE jobs SET state = 'running', version = version + 1, runner = :runner, attempts = attempts + 1,
    started_at = :now, cancel_requested = 0, progress = NULL
WHERE id IN (:ids*) AND state = 'queued'
RETURNING *

-- name: args
SELECT payloads.job, media_type, content, trace
FROM payloads LEFT JOIN job_traces ON job_traces.job = payloads.job
WHERE kind = 'args' AND payloads.job IN (:jobs*)

-- The fence: whoever lost the job meanwhile, or has another attempt of it, changes nothing.
-- name: settle
UPDATE jobs SET
    state = CASE WHEN :state = 'queued' AND cancel_requested = 1 THEN 'cancelled' ELSE :state END,
    finished_at = CASE WHEN :state = 'queued' AND cancel_requested = 1 THEN :now ELSE :finished_at END,
    version = version + 1, runner = NULL, ready = :ready, run_at = :run_at, cancel_requested = 0,
    failures = failures + :failed, crashes = crashes + :crashed, progress = :progress,
    error = CASE WHEN :state = 'succeeded' THEN NULL ELSE COALESCE(:error, error) END,
    run_seconds = :run_seconds, cpu_seconds = :cpu_seconds
WHERE id = :id AND attempts = :attempt AND runner = :runner AND state = 'running'
RETURNING *

-- name: add_result
INSERT INTO payloads (job, kind, media_type, content) VALUES (:job, 'result', :media_type, :content)

-- name: set_progress
UPDATE jobs SET progress = :progress
WHERE id = :id AND attempts = :attempt AND runner = :runner AND state = 'running'

-- Only the runner that has the job may add to its log. It writes again what it does not know to be committed.
-- name: add_log
INSERT INTO job_log (job, seq, attempt, at, stream, line)
SELECT :job, :seq, :attempt, :at, :stream, :line
FROM jobs WHERE id = :job AND attempts = :attempt AND runner = :runner AND state = 'running'
ON CONFLICT (job, seq) DO NOTHING

-- name: log_ends
SELECT job, MAX(seq) AS seq FROM job_log WHERE job IN (:jobs*) GROUP BY job

-- name: cancels
SELECT id FROM jobs WHERE state = 'running' AND runner = :runner AND cancel_requested = 1

-- name: jobs_of_runner
SELECT * FROM jobs WHERE state = 'running' AND runner = :runner ORDER BY id /*for update*/

-- name: make_ready
UPDATE jobs SET ready = 1
WHERE id IN (
    SELECT id FROM jobs WHERE state = 'queued' AND ready = 0 AND run_at <= :now ORDER BY run_at LIMIT :limit /*lock*/
)
RETURNING id

-- name: next_due
SELECT MIN(run_at) AS run_at FROM jobs WHERE state = 'queued' AND ready = 0

-- name: next_expiry
SELECT MIN(expires_at) AS expires_at FROM jobs WHERE state = 'queued' AND expires_at IS NOT NULL AND attempts = 0

-- name: expire
UPDATE jobs SET state = 'expired', version = version + 1, finished_at = :now
WHERE id IN (
    SELECT id FROM jobs
    WHERE state = 'queued' AND expires_at IS NOT NULL AND attempts = 0 AND expires_at <= :now
    ORDER BY expires_at LIMIT :limit /*lock*/
)
RETURNING *

-- name: old_jobs
SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at <= :before /*filters*/
ORDER BY finished_at LIMIT :limit

-- name: purge_log
DELETE FROM job_log
WHERE (job, seq) IN (SELECT job, seq FROM job_log WHERE job IN (:jobs*) LIMIT :limit)
RETURNING seq

-- name: purge_results
DELETE FROM payloads
WHERE kind = 'result' AND job IN (
    SELECT job FROM payloads WHERE kind = 'result' AND job IN (:jobs*) AND LENGTH(content) > 1000000 LIMIT :limit
)
RETURNING job

-- name: purge
DELETE FROM jobs WHERE id IN (:jobs*) AND finished_at IS NOT NULL AND finished_at <= :before RETURNING id

-- name: purge_batches
DELETE FROM batches
WHERE id IN (
    SELECT id FROM batches
    WHERE id < :before AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.batch = batches.id)
    LIMIT :limit
)

-- name: schedules
SELECT task, schedule, period FROM schedules

-- name: add_schedule
INSERT INTO schedules (task, schedule, period) VALUES (:task, :schedule, :period) ON CONFLICT (task) DO NOTHING

-- name: change_schedule
UPDATE schedules SET schedule = :schedule, period = :period
WHERE task = :task AND (schedule <> :schedule OR period > :period)

-- One runner moves it on; the others find it moved.
-- name: begin_period
UPDATE schedules SET period = :period WHERE task = :task AND schedule = :schedule AND period < :period
RETURNING task

-- name: add_delivery
INSERT INTO deliveries (id, job, url, host, event, next_at, created_at)
VALUES (:id, :job, :url, :host, :event, :now, :now)

-- name: claim_delivery
UPDATE deliveries SET runner = :runner, attempts = attempts + 1, next_at = :again
WHERE id IN (
    SELECT id FROM deliveries WHERE state = 'pending' AND next_at <= :now AND host NOT IN (:busy*)
    ORDER BY next_at LIMIT 1 /*lock*/
)
RETURNING *, (SELECT request_id FROM jobs WHERE jobs.id = deliveries.job) AS request_id,
    (SELECT trace FROM job_traces WHERE job_traces.job = deliveries.job) AS trace

-- name: settle_delivery
UPDATE deliveries SET state = :state, next_at = :next_at, status = :status, error = :error,
    finished_at = :finished_at, runner = NULL
WHERE id = :id AND runner = :runner AND attempts = :attempt AND state = 'pending'
RETURNING id

-- name: release_deliveries
UPDATE deliveries SET runner = NULL, next_at = :now WHERE runner = :runner AND state = 'pending'

-- name: next_delivery
SELECT MIN(next_at) AS next_at FROM deliveries WHERE state = 'pending' AND host NOT IN (:busy*)
