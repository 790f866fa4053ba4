# The image of everything that runs as a service: web, runner, and by target what stands in front of web (proxy), and
# Locust (loadtest).
#
#   base ──> packages ──────────┐
#     ├────> proxy              │                HAProxy
#     ├────> code ──────────────┼─> runtime      web and runner, the default
#     ├────> user ──────────────┤
#     └────> loadtest-packages ─┴─> loadtest
#
# Packages come before code: a change of code rebuilds two small layers, in seconds.
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS base

# ---- what is locked, checked against its hashes; only wheels, so nothing is compiled and no compiler is needed
FROM base AS packages
# run, or video for the task video_frames too
ARG REQUIREMENTS=run
COPY requirements/${REQUIREMENTS}.txt /requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: \
        --root-user-action ignore --disable-pip-version-check -r /requirements.txt \
    && find /venv -type d -name tests -prune -exec rm -r {} +

FROM base AS loadtest-packages
COPY requirements/loadtest.txt /requirements.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --require-hashes --only-binary :all: \
        --root-user-action ignore --disable-pip-version-check -r /requirements.txt

# ---- the code, compiled here: the root file system of the container is read-only
FROM base AS code
WORKDIR /app
COPY service service
COPY gunicorn.conf.py ./
RUN python -m compileall -q --invalidation-mode unchecked-hash service

# ---- who runs it: a number that stays the same, for the owners of volumes
FROM base AS user
RUN groupadd --gid 10001 everycore \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin everycore \
    && install -d -o everycore -g everycore /run/everycore /run/secrets /var/lib/everycore
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001

# ---- HAProxy, from Debian, whose security team looks after it
FROM base AS proxy
RUN apt-get update \
    && apt-get install -y --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && install -d -o 10001 -g 10001 /run/secrets
COPY deploy/haproxy/haproxy.cfg /etc/haproxy/haproxy.cfg
# What is wrong in it ends the build, not the first start.
RUN PROXY_TRIES=1 PROXY_TIMEOUT=1s haproxy -c -dW -f /etc/haproxy/haproxy.cfg
USER 10002:10002
EXPOSE 8000
# Requests may end; SIGTERM would cut them off.
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8405, timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
# No version and no commit: an image that has not changed must stay the same, or its container would be replaced, which
# nobody can do without a gap.
LABEL org.opencontainers.image.title="Everycore proxy" \
    org.opencontainers.image.description="HAProxy in front of Everycore: a deployment loses no request" \
    org.opencontainers.image.licenses="GPL-2.0-or-later"

FROM user AS loadtest
COPY --from=loadtest-packages /venv /venv
COPY --from=code /app/service service
COPY loadtests loadtests
EXPOSE 8089
CMD ["python", "-m", "locust", "-f", "loadtests/locustfile.py"]

FROM user AS runtime
COPY --from=packages /venv /venv
COPY --from=code /app /app
# Nobody but the container reaches the address as long as no port of it is published; without keys the service
# still refuses it unless SERVICE_INSECURE=1.
ENV SERVICE_BIND=0.0.0.0:8000 \
    SERVICE_RUNTIME_DIR=/run/everycore \
    SERVICE_DATABASE_URL=sqlite:////var/lib/everycore/everycore.db
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["python", "-m", "gunicorn", "-c", "/app/gunicorn.conf.py", "service.app:create_app()"]
# The last layers, for they change with every build.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Everycore" \
    org.opencontainers.image.description="CPU-bound Python functions as an HTTP API, on every core" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
