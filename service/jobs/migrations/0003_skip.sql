-- Whether a pipeline goes on without items that a stage has no result for.
ALTER TABLE jobs ADD COLUMN skip BIGINT NOT NULL DEFAULT 0;
