-- 100 000 jobs that wait, 30 000 that have ended, 1000 that run, a tenth of each in batches of 1000.
-- Ids begin with eight digits that say how many were there before.

INSERT INTO runners (id, host, pid, started_at) VALUES ('first', 'host', 1, 1.0), ('second', 'host', 2, 1.0);

WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
INSERT INTO batches (id, owner, total, created_at)
SELECT substr(CAST(100000000 + 10000 * i AS TEXT), 2) || '-0000-7000-8000-000000000000', '', 1000, 1.0 FROM n;

WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 129999)
INSERT INTO jobs (id, task, owner, request_id, batch, priority, cpu, timeout, run_at, ready, expires_at,
    max_attempts, max_crashes, created_at)
SELECT
    substr(CAST(100000000 + i AS TEXT), 2) || '-0000-7000-8000-000000000000',
    CASE WHEN i % 5000 = 2 THEN 'rare' WHEN i % 10 = 3 THEN 'wait' ELSE 'add' END, '', '',
    CASE WHEN i % 10000 < 1000 THEN substr(CAST(100000000 + i - i % 10000 AS TEXT), 2) || '-0000-7000-8000-000000000000' END,
    i % 3, CASE WHEN i % 10 = 3 THEN 0 ELSE 1 END, 60.0, 1.0 * i, CASE WHEN i % 50 = 7 THEN 0 ELSE 1 END,
    CASE WHEN i % 50 = 9 THEN 200000.0 + i END, 1, 3, 1.0 * i
FROM n;

UPDATE jobs SET state = 'running', version = 2, runner = CASE WHEN id < '00040500' THEN 'first' ELSE 'second' END,
    attempts = 1, started_at = 1.0, cancel_requested = CASE WHEN id < '00040005' THEN 1 ELSE 0 END
WHERE id >= '00040000' AND id < '00070000';

UPDATE jobs SET version = 3, state = CASE WHEN id < '00041100' THEN 'failed' ELSE 'succeeded' END, runner = NULL,
    finished_at = 1000.0 + CAST(substr(id, 1, 8) AS INTEGER)
WHERE id >= '00041000' AND id < '00070000';

UPDATE jobs SET state = 'cancelled', version = 2, finished_at = 5.0 WHERE id >= '00010000' AND id < '00010500';
