"""The whole API as an OpenAPI 3.1 document.

    tasks' contracts ─> bodies ─┐
    schemas, parts ─────────────┴─> endpoints, one function for each ─> document.build() ─> /openapi.json

A new endpoint is one more function in ``endpoints.ENDPOINTS``: it takes the ``Api`` and yields path, method
and operation.
"""
