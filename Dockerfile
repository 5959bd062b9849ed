# Image of the cluster's nodes: the packages of constraints.txt and the weights in models/, without the project's code,
# which each job uploads (runtime_env/). Rebuild it when packages or weights change, not when code changes.
#
#   docker build --build-arg BUILD=gpu -t REGISTRY/rradistill:gpu .      vLLM and torch with CUDA
#   docker build --build-arg BUILD=cpu -t REGISTRY/rradistill:cpu .      their CPU builds
#
# A tag can be moved to another image. To pin the base to a digest, add
#
#   --build-arg BASE=rayproject/ray:2.60.0-py311-gpu@sha256:...
#
# `make pin-images` pins this image in the files that start it. docs/cluster.md says where to find the digests.
ARG BUILD=gpu
ARG BASE=rayproject/ray:2.60.0-py311-${BUILD}
FROM ${BASE}

ARG BUILD=gpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# DeepSpeed compiles an operator on first use and needs g++ and make
USER 0
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++=4:* make=4.* \
    && rm -rf /var/lib/apt/lists/*
USER 1000

WORKDIR /home/ray/build
COPY --chown=1000:100 pyproject.toml constraints.txt ./
# Resolves with uv, like `make`, to apply the overrides in pyproject.toml. Installs only the dependencies, because the
# project's code is not in the image.
RUN grep '^uv==' constraints.txt > uv.txt \
    && pip install --no-cache-dir --requirement uv.txt \
    && if [ "$BUILD" = cpu ]; then export UV_TORCH_BACKEND=cpu; fi \
    && uv pip compile pyproject.toml --quiet --extra "$BUILD" --constraint constraints.txt --no-header --output-file packages.txt \
    && uv pip install --system --no-cache --no-deps --requirement packages.txt \
    && python -c 'import deepspeed, ray, torch, vllm; print(ray.__version__, torch.__version__, vllm.__version__)'

COPY --chown=1000:100 models/minilm-cross /home/ray/models/minilm-cross
COPY --chown=1000:100 models/minilm-list /home/ray/models/minilm-list
ENV RRADISTILL_MODELS=/home/ray/models
# mount points on Kubernetes, where the rest of the file system is read-only
RUN mkdir -p /home/ray/.cache /home/ray/.config /home/ray/.triton
# usage statistics are off unless a job's runtime environment turns them on
ENV RAY_USAGE_STATS_ENABLED=0 VLLM_NO_USAGE_STATS=1 HF_HUB_DISABLE_TELEMETRY=1

WORKDIR /home/ray
