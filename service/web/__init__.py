"""Pages for a browser: plain HTML, CSS and ES modules; no build step, nothing from other hosts.

docs/       the page at /docs: ours
swagger/    Swagger UI, which it shows: not ours, as its README says
"""
