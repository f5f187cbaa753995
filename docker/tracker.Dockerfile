# The tracker service, built from this repository: docker compose build tracker
FROM python:3.12.12-slim AS build
RUN python -m venv /tracker
WORKDIR /source
COPY constraints.txt .
# torch of the CPU index: the service computes nothing, and the usual one brings gigabytes of CUDA.
RUN /tracker/bin/pip install --no-cache-dir --constraint constraints.txt \
    --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple torch==2.13.0
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY tracker tracker
COPY migrations migrations
RUN /tracker/bin/pip install --no-cache-dir --constraint constraints.txt ".[server,postgres]"

FROM python:3.12.12-slim
RUN useradd --uid 10001 --no-create-home tracker \
    && install --directory --owner tracker /var/lib/tracker
COPY --from=build /tracker /tracker
ENV PATH=/tracker/bin:$PATH \
    HOME=/var/lib/tracker \
    TRACKER_CACHE_DIR=/var/lib/tracker/cache \
    TRACKER_SPOOL_DIR=/var/lib/tracker/spool
WORKDIR /var/lib/tracker
USER tracker
CMD ["tracker", "serve", "--host", "0.0.0.0", "--port", "5001"]
