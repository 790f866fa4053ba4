-- A move that is not in the table is refused, whoever asks for it.

CREATE TRIGGER jobs_move BEFORE UPDATE OF state ON jobs
WHEN NOT EXISTS (SELECT 1 FROM moves WHERE from_state = OLD.state AND to_state = NEW.state)
BEGIN
    SELECT RAISE(ABORT, 'a job does not move between these states');
END;
