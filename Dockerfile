# epitool with BlazePose, from this source tree:
#
#     docker build -t epitool .
#     docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" epitool detect2d --views cam1.mp4 cam2.mp4
FROM python:3.11-slim-bookworm

# What OpenCV links to.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml README.md LICENSE /source/
COPY epitool /source/epitool
RUN pip install --no-cache-dir '/source[mediapipe]' \
    && rm -rf /source

# Any user may write the caches, so that `docker run --user` works.
RUN useradd --uid 1000 epitool \
    && mkdir /cache /work \
    && chmod 1777 /cache /work
ENV HOME=/cache
USER 1000
WORKDIR /work

ENTRYPOINT ["epitool"]
CMD ["--help"]
