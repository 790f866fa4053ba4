"""Everycore: every core of a machine behind one HTTP endpoint.

The rooms, from the front door to the back; each imports only those below it:

    app, __main__   wiring, command line (its groups of commands: cli)
    serve           the parent of Gunicorn and of the runners (runners, children)
    api, work       HTTP in, HTTP out, the only room that knows Flask; one runner as a process
    collectors      what is looked up when Prometheus asks (runner_http: a runner that is asked itself)
    jobs            durable background jobs; knows no Flask
    pipelines       producers, stages and consumers, each in processes of their own
    engine          runs calls on pool processes; knows no Flask
    tasks           plain functions, what they are called and what they take
    telemetry       logs and metrics
    settings        one frozen object, read from the environment once
                    (setting_checks, environment, cpus, keys, durations)
    byte_locks      locks on bytes of a file, which slots and places for metrics are
    errors          the one error tree

A request travels ``api.tasks -> engine.local -> engine.process => engine.child -> tasks`` and back.
A job travels ``api.jobs -> jobs.store => jobs.runner -> engine ... -> tasks``.
"""

__version__ = "0.1.0"
