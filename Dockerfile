# The operator's image: docker build -t hostnetwork-operator:0.1.0 .
# BASE is any image with Python >= 3.11, shell and libc of the wheels in constraints.txt; pin it by digest in CI.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY operator/ operator/
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM ${BASE}
COPY --from=build /opt/venv/ /opt/venv/
# Nothing is written at run time, so the root file system can be read-only. The user is in no passwd: without HOME,
# which not every runtime sets, the client library ends at import.
ENV HOME=/ PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["python", "-m", "hostnetwork_operator"]
