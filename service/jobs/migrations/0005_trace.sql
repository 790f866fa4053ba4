-- The trace that a job was submitted in: the headers of W3C Trace Context, as a JSON object.
--
-- In a table of its own: of a table that gets a column PostgreSQL fails, once for each connection, what processes of an
-- older version have prepared with `*`.

CREATE TABLE job_traces (
    job TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    trace TEXT NOT NULL
);
