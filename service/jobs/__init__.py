"""Durable background jobs; knows no Flask.

    api ──> store ──┐                    ┌── claims <── runner ──> engine
                    ├──> database (SQL) <┤
    watchers <──────┘                    └── keeper (leases, periods, retention), webhooks

model      a job and what may be said of it; migrations, queries.sql: the table that is the truth
database   transactions and named queries on sqlite or postgres; bells: who changed something rings
store      what clients do: submit, look, cancel, try again, delete
claims     what a runner does: claim, settle, renew, take over from runners that are gone
runner     claim -> run -> settle; lanes: the threads in which jobs run
account    what a runner tells of each step: counts and log lines; census: how the store stands, for gauges
"""
