-- The trace that a job was submitted in: the headers of W3C Trace Context, as a JSON object.

ALTER TABLE jobs ADD COLUMN trace TEXT;
