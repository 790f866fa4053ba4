-- What is asked of the store from time to time by who operates it: since when something is due, how many jobs
-- wait, which runners live. The index serves jobs that are due as it did those that will be.

DROP INDEX jobs_due;
CREATE INDEX jobs_due ON jobs (state, ready, run_at) WHERE state = 'queued';

-- When a runner renewed its lease last, by its own clock. It is for people to see: no lease depends on it.
ALTER TABLE runners ADD COLUMN beat_at DOUBLE PRECISION;
