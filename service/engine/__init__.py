"""Where CPU work runs. Knows no Flask, no SQL and no settings; see ``base`` for its one verb."""
