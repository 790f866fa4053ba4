"""Metrics for Prometheus, counted in many processes and told by whichever is asked.

    observe…() in each process ──> its own files in the folder ──> expose(): the sum of all files ──> /metrics

directory  the folder of one service: made by its first process, gone with its last
places     a number for each process that counts; the next one to have it goes on from where its files end
registry   what every metric hangs on, the role of this process, and the text that Prometheus reads
histogram  a histogram that takes many observations at once
build      which version this is
http, engine, jobs, pipelines   the metrics of each room, and how each is observed

With ``PROMETHEUS_MULTIPROC_DIR`` in the environment when ``registry`` is first imported, a process shares
its metrics so; without it, it counts for itself alone, as a runner in a container of its own does, and a
test. So nothing is imported here, and whoever makes the folder must not have imported ``registry`` before.

A new metric is a ``Counter``, ``Gauge`` or ``Histogram`` made with ``registry=REGISTRY`` in the module of its
room. What nobody counts, and is looked up when Prometheus asks, comes from a ``Collector`` that is handed to
``expose``; those of the web stand in ``app.extensions["everycore.collectors"]``.
"""
