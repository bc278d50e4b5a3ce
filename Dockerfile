# Not built by .ci/run: that needs a container engine, which the machines it runs on need not have. The file
# system may be read-only, but for /tmp and, with embedded stores, /data.

FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements.txt .
# --without-pip: the environment that is copied below holds no installer. Wheels only: nothing is compiled.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv install --no-cache-dir --require-hashes --only-binary :all: -r requirements.txt
# The build backend is the one thing without a hash here; it stays in this stage.
COPY pyproject.toml README.md LICENSE ./
# chat_service/web/sdk is a link to it.
COPY clients/javascript/src clients/javascript/src
COPY chat_service chat_service
RUN python -m pip --python /venv install --no-cache-dir --no-deps .

FROM python:3.13-slim
# Neither pip nor the copy of it that Python carries along: nothing in here installs anything.
RUN python -m pip uninstall --yes pip \
 && rm -r "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" \
 && groupadd --system --gid 10001 chat \
 && useradd --system --uid 10001 --gid chat --no-create-home --shell /usr/sbin/nologin chat \
 && install --directory --owner=chat --group=chat --mode=0750 /data
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CHAT_HOST=0.0.0.0 \
    CHAT_PORT=8000 \
    CHAT_DATA_DIR=/data
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Liveness, not readiness: a node that drains or waits for a store must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"CHAT_PORT\"]}/livez', timeout=2)"]
# exec form: SIGTERM reaches the service, which closes its sockets in order.
CMD ["chat-service", "serve"]
