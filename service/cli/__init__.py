"""Commands of ``python -m service``, one or a group in each file; ``service.__main__`` brings them together.

    advise        ──> service.engine, a private Gunicorn (``advise/``)
    keys          new
    jobs          list | show | cancel | retry | purge ──> service.jobs.store
    db            status | migrate ──> service.jobs.migrate

options: what may stand behind an option; console: how commands print, and how they fail;
job_words: a job in the words of a table, or as JSON
"""
