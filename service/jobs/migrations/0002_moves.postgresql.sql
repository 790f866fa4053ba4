-- A move that is not in the table is refused, whoever asks for it.

CREATE FUNCTION check_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM moves WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'a job does not move between these states' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$$;

CREATE TRIGGER jobs_move BEFORE UPDATE OF state ON jobs FOR EACH ROW EXECUTE FUNCTION check_move();
