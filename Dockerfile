# The toy recipe book on a CPU, from made images to the results table:
#   docker build -t weak2mask .
#   docker run --rm weak2mask
# To keep what it makes, mount a folder that user 1000 may write:
#   docker run --rm -v "$PWD/work:/home/user/weak2mask/work" weak2mask
FROM python:3.11-slim

# g++ builds pydensecrf2; git is asked for the commit that a run is recorded with.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ git make \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /home/user/weak2mask
COPY --chown=user:user . .

# cpu leaves the CUDA libraries out. For a GPU: --build-arg TORCH=default, and docker run --gpus all.
ARG TORCH=cpu
RUN make setup TORCH=${TORCH} UV_FLAGS=--no-cache

# The image has no .git (.dockerignore), and DVC has to know that.
RUN .venv/bin/dvc config --local core.no_scm true

CMD ["make", "run"]
