"""HTTP in, HTTP out; the only room that knows Flask.

request ─> requests: id, clock ─> tasks, samples, ops ─> engine ─> results ─> response
                                │                               (JSON or bytes)
                                ├─ jobs, batches ─> store of jobs ─> job_documents
                                ├─ bodies: bounded bytes
                                └─ problems: whatever was raised, as RFC 9457
"""
